// The view in which zones are drawn over the picture of a stream, changed and deleted.

import { deleteZone, getZones, lastPictureOf, picturesOf, saveZone } from "./api.js";
import { Board } from "./board.js";
import { make } from "./figures.js";

const OVER = ["ended", "failed", "stopped"];
const RETRY_MS = 3000;
const SURE_MS = 4000;
const RATIO = 16 / 9;

const byId = (id) => document.getElementById(id);

export class Zones {
  #board = new Board();
  #form = byId("zone-form");
  #stream = byId("zone-stream");
  #picture = byId("board-picture");
  #note = byId("zones-note");
  #remove = byId("delete-zone");
  #zones = [];
  #problem = null;
  #statuses = new Map();
  #isOpen = false;
  /** The zone that is edited, {} for a new one; null for none. */
  #edited = null;
  #timer = 0;
  #sureTimer = 0;

  /** `onZones(zones)` is called with all zones whenever they may have changed. */
  constructor(onZones) {
    this.onZones = onZones;
    this.#board.onCancel = () => this.#stop();
    this.#stream.addEventListener("change", () => this.#showStream());
    byId("new-zone").addEventListener("click", () => this.#edit({}));
    byId("cancel-zone").addEventListener("click", () => this.#stop());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#form.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.#stop();
    });
    this.#remove.addEventListener("click", () => this.#delete());
    this.#remove.addEventListener("blur", () => this.#settle());
    this.#picture.addEventListener("load", () => this.#picture.classList.add("is-there"));
    this.#picture.addEventListener("error", () => {
      this.#picture.classList.remove("is-there");
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#showPicture(), RETRY_MS);
    });
  }

  /** All streams, as the server lists them. */
  setStreams(statuses) {
    const chosen = this.#stream.value;
    const before = this.#statuses.get(chosen);
    this.#statuses = new Map(statuses.map((status) => [status.id, status]));
    const ids = [...this.#statuses.keys()];
    if (String(ids) !== String([...this.#stream.options].map(({ value }) => value))) {
      this.#stream.replaceChildren(...ids.map((id) => new Option(id, id, false, id === chosen)));
    }
    const now = this.#statuses.get(this.#stream.value);
    if (!this.#isOpen) return;
    const isOther = before?.id !== now?.id || before?.width !== now?.width;
    if (isOther || OVER.includes(before?.state) !== OVER.includes(now?.state)) this.#showStream();
  }

  /** Asks for the zones again. */
  async load() {
    try {
      const { zones, problem } = await getZones();
      this.#zones = zones;
      this.#problem = problem;
      this.onZones(zones);
      this.#show();
    } catch (error) {
      if (this.#isOpen) this.#note.textContent = error.message;
    }
  }

  open(isOpen) {
    this.#isOpen = isOpen;
    if (isOpen) {
      this.#note.textContent = "";
      this.#showStream();
      this.load();
      return;
    }
    this.#stop(false);
    this.#showPicture();
  }

  // The picture

  get #status() {
    return this.#statuses.get(this.#stream.value);
  }

  #showStream() {
    const { width, height } = this.#status ?? {};
    this.#board.ratio = width && height ? width / height : RATIO;
    this.#showPicture();
    this.#show();
  }

  #showPicture() {
    clearTimeout(this.#timer);
    const status = this.#isOpen ? this.#status : null;
    this.#picture.classList.remove("is-there");
    const wait = byId("board-wait");
    wait.textContent = status ? "Waiting for a picture …" : "There is no stream yet: add one first.";
    if (!status) {
      this.#picture.removeAttribute("src");
      return;
    }
    this.#picture.alt = `Picture of ${status.id}`;
    this.#picture.src = OVER.includes(status.state) ? lastPictureOf(status.id) : picturesOf(status.id);
  }

  // The list

  #show() {
    if (!this.#isOpen) return;
    const isEditing = this.#edited !== null;
    this.#form.hidden = !isEditing;
    const draw = byId("new-zone");
    draw.hidden = isEditing;
    draw.disabled = this.#problem !== null;
    if (this.#problem) this.#note.textContent = this.#problem;
    const here = this.#zones.filter(({ on_streams: ids }) => ids.includes(this.#stream.value));
    this.#board.others = here.filter(({ name }) => name !== this.#edited?.name);
    byId("zone-list").hidden = isEditing;
    byId("zone-list").replaceChildren(...this.#zones.map((zone) => this.#line(zone)));
  }

  #line(zone) {
    const line = make("li", "zone-line");
    line.dataset.zone = zone.name;
    const name = make("button", "zone-name", zone.name);
    name.type = "button";
    name.title = `Change ${zone.name}`;
    name.disabled = this.#problem !== null;
    name.addEventListener("click", () => this.#edit(zone));
    const streams = zone.streams.length ? zone.streams.join(", ") : "all streams";
    const rules = zone.rules.length ? `for ${zone.rules.join(", ")}` : "no rule names it";
    line.append(name, make("span", "quiet", `${streams} · ${rules}`));
    return line;
  }

  // Editing

  #edit(zone) {
    this.#edited = zone;
    this.#note.textContent = "";
    byId("zone-problem").textContent = "";
    const { name, streams } = this.#form.elements;
    name.value = zone.name ?? "";
    // Rules name it, so it keeps its name.
    name.readOnly = zone.name !== undefined;
    streams.value = (zone.streams ?? [this.#stream.value].filter(Boolean)).join(", ");
    this.#remove.hidden = zone.name === undefined;
    this.#settle();
    if (zone.on_streams?.length && !zone.on_streams.includes(this.#stream.value)) {
      this.#stream.value = zone.on_streams[0];
      this.#showStream();
    }
    this.#show();
    this.#board.begin(zone.polygon ?? []);
    if (name.readOnly) document.querySelector("#board-corners .corner").focus({ preventScroll: true });
    else name.focus();
  }

  #stop(hasFocus = true) {
    const { name } = this.#edited ?? {};
    this.#edited = null;
    this.#board.end();
    this.#show();
    if (!hasFocus) return;
    const line = [...byId("zone-list").children].find(({ dataset }) => dataset.zone === name);
    (line?.querySelector("button") ?? byId("new-zone")).focus();
  }

  async #save() {
    const { name, streams } = this.#form.elements;
    const title = name.value.trim();
    const { corners } = this.#board;
    const isNew = this.#edited.name === undefined;
    let sentence = "";
    if (!title) sentence = "Give the zone a name, which rules can name.";
    else if (isNew && this.#zones.some((zone) => zone.name === title)) sentence = `There is a zone ${title} already.`;
    else if (corners.length < 3) sentence = "A zone has at least three corners: click into the picture.";
    if (sentence) {
      byId("zone-problem").textContent = sentence;
      if (!title) name.focus();
      return;
    }
    const patterns = streams.value.split(",").map((part) => part.trim()).filter(Boolean);
    await this.#change(async () => {
      const saved = await saveZone(title, { polygon: corners, streams: patterns });
      const use = saved.rules.length ? `It counts for ${saved.rules.join(", ")} from the next clip on.` : "No rule names it yet.";
      return [saved.name, `${saved.name} is saved. ${use}`];
    });
  }

  async #delete() {
    const { name } = this.#edited;
    if (!this.#remove.classList.contains("sure")) {
      this.#remove.classList.add("sure");
      this.#remove.textContent = "Really delete?";
      this.#sureTimer = setTimeout(() => this.#settle(), SURE_MS);
      return;
    }
    this.#settle();
    await this.#change(async () => {
      await deleteZone(name);
      return [undefined, `${name} is deleted.`];
    });
  }

  #settle() {
    clearTimeout(this.#sureTimer);
    this.#remove.classList.remove("sure");
    this.#remove.textContent = "Delete";
  }

  /** `change()` returns the name of the zone that is there then, and what to say. */
  async #change(change) {
    const buttons = this.#form.querySelectorAll("button");
    buttons.forEach((button) => (button.disabled = true));
    byId("zone-problem").textContent = "";
    try {
      const [name, sentence] = await change();
      await this.load();
      this.#edited = { name };
      this.#stop();
      this.#note.textContent = sentence;
    } catch (error) {
      byId("zone-problem").textContent = error.message;
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }
}
