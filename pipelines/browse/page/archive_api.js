// What the page asks of the server. All addresses are relative: the page may be served below any path.

/** The server answered, and the answer is no; `message` is its sentence. */
export class Refused extends Error {}

function sentenceOf(body, status) {
  const detail = body?.detail;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map(({ loc = [], msg }) => `${loc.at(-1)}: ${msg}`).join("; ");
  return `The server answered with status ${status}.`;
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer.");
  }
  const body = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Refused(sentenceOf(body, response.status));
  return body;
}

const filmPath = (id) => `api/films/${encodeURIComponent(id)}`;
const query = (parameters) => {
  const kept = Object.entries(parameters).flatMap(([name, value]) =>
    value === "" || value === null || value === undefined ? [] : [value].flat().map((one) => [name, one]),
  );
  return new URLSearchParams(kept);
};

export const getInfo = () => ask("api/info");
export const getFilms = (parameters, signal) => ask(`api/films?${query(parameters)}`, { signal });
export const getFilm = (id) => ask(filmPath(id));
export const getStrip = (id, parameters) => ask(`${filmPath(id)}/strip?${query(parameters)}`);
export const getMoment = (id, seconds, signal) => ask(`${filmPath(id)}/moment?${query({ seconds })}`, { signal });
export const videoPath = (id) => `${filmPath(id)}/video`;
export const picturesPath = (id, start, size = "small") =>
  `${filmPath(id)}/pictures?${query({ start: Math.max(0, start).toFixed(1), size })}`;
export const getLabels = async () => (await ask("api/labels")).labels;
const send = (method, path, content, signal) =>
  ask(path, { method, signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
export const putLabel = (label) => send("PUT", "api/labels", label);
export const getSuggestions = (wanted, signal) => send("POST", "api/suggest", wanted, signal);

/**
 * Searches films, piece after piece. `onPiece({results, found, searched, films, byIndex, note, damaged, isComplete})` is
 * called with everything that was found so far, best first, and how many films were searched, of how many.
 */
export async function search(kind, parameters, limit, rank, signal, onPiece) {
  const all = { results: [], found: 0, searched: 0, damaged: [] };
  let after = null;
  do {
    const piece = await ask(`api/${kind}?${query({ ...parameters, after, limit })}`, { signal });
    all.results = [...all.results, ...piece.results].sort((a, b) => b[rank] - a[rank]).slice(0, limit);
    all.found += piece.found;
    all.searched += piece.searched;
    all.damaged.push(...piece.damaged);
    after = piece.cursor;
    onPiece({ ...all, films: piece.films, byIndex: piece.by_index, note: piece.note, isComplete: after === null });
  } while (after !== null);
}
