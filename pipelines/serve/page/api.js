// What the page asks of the server.

const PATIENCE_MS = 8000;
// A stream is opened or closed between two batches, and on a slow machine a batch takes a while.
const LONG_PATIENCE_MS = 60000;

/** The server answered, and the answer is no; `message` is its sentence. */
export class Refused extends Error {}

/** The sentence in an error's `detail`: a string, or FastAPI's list of what is wrong with each field. */
export function sentenceOf(body, status) {
  const detail = body?.detail;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail) && detail.length) {
    return detail
      .map(({ loc = [], msg = "not valid" }) => {
        const field = loc.filter((part) => part !== "body").join(".");
        return field ? `${field}: ${msg}` : msg;
      })
      .join("; ");
  }
  return `The server answered with status ${status}.`;
}

async function ask(path, options = {}, patience = PATIENCE_MS) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(patience), ...options });
  const body = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Refused(sentenceOf(body, response.status));
  return { body, date: Date.parse(response.headers.get("date") ?? "") / 1000 };
}

export const pathOf = (id) => `/api/streams/${encodeURIComponent(id)}`;

/** A path of a stream's pictures; a new one each time, lest the browser shows an old connection's last picture. */
let pictures = 0;
export const picturesOf = (id) => `${pathOf(id)}/video?${++pictures}`;

export const lastPictureOf = (id) => `${pathOf(id)}/picture?${++pictures}`;

export const getInfo = async () => (await ask("/api/info")).body;

/** The streams, and the server's clock to the second. */
export async function getStreams() {
  const { body, date } = await ask("/api/streams");
  return { streams: body.streams, date };
}

export async function addStream(request) {
  const headers = { "Content-Type": "application/json" };
  return (await ask("/api/streams", { method: "POST", headers, body: JSON.stringify(request) }, LONG_PATIENCE_MS)).body;
}

export const removeStream = (id) => ask(pathOf(id), { method: "DELETE" }, LONG_PATIENCE_MS);

/** The path of events of the rules; `query` are the parameters of /api/history. */
export const historyPath = (query) => `/api/history?${new URLSearchParams(query)}`;

/** Events, newest first, and the cursor of those that follow. */
export const getHistory = async (query) => (await ask(historyPath(query))).body;

export const pictureOfEvent = ({ id, number }) => `/api/history/${id}/picture?number=${number}`;
export const videoOfEvent = ({ id }) => `/api/history/${id}/video`;

/** All zones, and why they cannot be saved, or null. */
export const getZones = async () => (await ask("/api/zones")).body;

const zonePath = (name) => `/api/zones/${encodeURIComponent(name)}`;

export async function saveZone(name, zone) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(zonePath(name), { method: "PUT", headers, body: JSON.stringify(zone) }, LONG_PATIENCE_MS)).body;
}

export const deleteZone = (name) => ask(zonePath(name), { method: "DELETE" }, LONG_PATIENCE_MS);

const KINDS = ["result", "event", "recording", "opened", "stalled", "lost", "session", "ended", "failed", "removed"];
const AGAIN_MS = 3000;

/** The events of all streams over one connection, which comes back by itself. */
export class Feed {
  #source = null;
  #timer = 0;

  /** `onBegin()` is called before the last events of every stream are sent again, `onEvent(kind, data)` for each event. */
  constructor(onBegin, onEvent) {
    this.onBegin = onBegin;
    this.onEvent = onEvent;
  }

  get isOpen() {
    return this.#source !== null;
  }

  open() {
    this.close();
    const source = (this.#source = new EventSource("/api/events"));
    let began = false;
    source.addEventListener("open", () => {
      // A connection that broke goes on where it was: only the first one of a source brings everything again.
      if (!began) this.onBegin();
      began = true;
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => this.onEvent(kind, JSON.parse(event.data)));
    }
    source.addEventListener("error", () => {
      // The browser tries again after a broken connection, but not after an answer like 503.
      if (source.readyState === EventSource.CLOSED && this.#source === source) {
        this.#timer = setTimeout(() => this.open(), AGAIN_MS);
      }
    });
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}
