// The History view: events of the rules, newest first, with filters; and the bell.

import { getHistory, historyPath } from "./api.js";
import { Bell } from "./bell.js";
import { EventLine } from "./event_line.js";
import { beganAt } from "./seen.js";

const PAGE = 60;
// Bound of the events that are shown.
const MAX_SHOWN = 5000;
const PHONE = "(max-width: 640px)";

const byId = (id) => document.getElementById(id);

export class Events {
  #list = byId("event-list");
  #form = byId("event-filter");
  #jump = byId("event-jump");
  #note = byId("events-note");
  #bell = new Bell(byId("open-events"), byId("new-events"));
  #lines = new Map();
  #cursor = null;
  #isOpen = false;
  #isLoading = false;
  /** Only events that began before this are shown, in ISO 8601; null for all. */
  #until = null;
  #asked = 0;
  #playing = null;

  /** `onJump(stream)` shows a stream. */
  constructor(onJump) {
    this.onJump = onJump;
    this.#form.addEventListener("change", () => this.#load());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    byId("clear-filter").addEventListener("click", () => {
      this.#form.reset();
      this.#load();
      this.#form.elements.stream.focus();
    });
    this.#jump.addEventListener("submit", (event) => {
      event.preventDefault();
      const { value } = this.#jump.elements.time;
      // The second itself is part of it.
      this.#goTo(value ? new Date(Date.parse(value) + 1000).toISOString() : null);
    });
    byId("newest").addEventListener("click", () => {
      this.#jump.reset();
      this.#goTo(null);
      this.#jump.elements.time.focus();
    });
    const more = byId("more-events");
    more.addEventListener("click", () => this.#load(this.#cursor));
    const observer = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting) && !this.#isLoading) this.#load(this.#cursor);
    }, { rootMargin: "400px" });
    observer.observe(more);
    if (window.matchMedia(PHONE).matches) byId("filter-box").open = false;
  }

  /** What the server says of itself: its rules, actions, and whether it records. */
  setInfo({ rules, classes, recording }) {
    byId("open-events").hidden = !rules.length;
    choices(this.#form.elements.rule, rules);
    byId("actions").replaceChildren(...classes.map((name) => new Option(name, name)));
    this.#list.dataset.records = String(Boolean(recording));
    const note = byId("recording-note");
    note.hidden = !recording || recording.is_recording;
    note.textContent = note.hidden ? "" : `Nothing is recorded at present: ${recording.reason}.`;
  }

  setStreams(ids) {
    choices(this.#form.elements.stream, ids);
  }

  /** The server's time in unix seconds. */
  heard(seconds) {
    this.#bell.heard(seconds);
  }

  /** An event, as the server tells it now; after a broken connection some are told again. */
  add(event) {
    this.#bell.add(event);
    if (this.#isOpen && this.#matches(event)) this.#show(event, true);
  }

  /** The recording of an event is ready. */
  record(id, recording) {
    this.#lines.get(id)?.record(recording);
    this.#showRoom();
  }

  /** Whether the view is there. */
  open(isOpen) {
    this.#isOpen = isOpen;
    this.#bell.isOpen = isOpen;
    if (isOpen) this.#load();
    else this.#clear();
  }

  #goTo(until) {
    this.#until = until;
    byId("newest").hidden = until === null;
    this.#load();
  }

  #query() {
    const { stream, rule, action, person, from, to } = this.#form.elements;
    const query = { stream: stream.value, rule: rule.value, action: action.value.trim(), person: person.value };
    for (const [name, field] of [["from", from], ["to", to]]) {
      if (field.value) query[name] = new Date(field.value).toISOString();
    }
    return Object.fromEntries(Object.entries(query).filter(([, value]) => value));
  }

  /** As #query, but no later than the time that was gone to. */
  #shownQuery() {
    const query = this.#query();
    if (this.#until && (!query.to || this.#until < query.to)) query.to = this.#until;
    return query;
  }

  #matches(event) {
    const { stream, rule, action, person, from, to } = this.#shownQuery();
    const at = new Date(beganAt(event) * 1000).toISOString();
    return (
      (!stream || stream === event.stream) &&
      (!rule || rule === event.rule) &&
      (!action || action === event.action) &&
      (!person || Number(person) === event.person) &&
      (!from || at >= from) &&
      (!to || at < to)
    );
  }

  /** The newest events, or those that follow at a cursor. */
  async #load(cursor = null) {
    if (!this.#isOpen) return;
    const asked = ++this.#asked;
    const filter = this.#query();
    const count = Object.keys(filter).length;
    byId("events-csv").href = historyPath({ ...filter, format: "csv", limit: 1000 });
    byId("filter-count").textContent = count ? `· ${count} set` : "";
    byId("clear-filter").hidden = !count;
    const more = byId("more-events");
    this.#isLoading = true;
    try {
      const found = await getHistory({ ...this.#shownQuery(), limit: PAGE, ...(cursor && { cursor }) });
      if (asked !== this.#asked || !this.#isOpen) return;
      if (!cursor) this.#clear();
      found.events.forEach((event) => this.#show(event, false));
      this.#bell.see(found.events);
      this.#cursor = found.cursor;
      this.#note.textContent = this.#lines.size ? "" : "No event was found.";
      if (this.#lines.size >= MAX_SHOWN && this.#cursor) {
        this.#note.textContent = `The first ${MAX_SHOWN.toLocaleString("en")} are shown; go to an earlier time for more.`;
      }
    } catch (error) {
      if (asked === this.#asked) this.#note.textContent = error.message;
      this.#cursor = cursor;
    } finally {
      if (asked === this.#asked) this.#isLoading = false;
    }
    // Hidden and shown again, so that it is looked at whether it is on the screen.
    more.hidden = true;
    requestAnimationFrame(() => (more.hidden = !this.#cursor || this.#lines.size >= MAX_SHOWN));
  }

  #clear() {
    this.#playing?.close(false);
    this.#playing = null;
    this.#lines.clear();
    this.#list.replaceChildren();
  }

  #show(event, isNew) {
    const known = this.#lines.get(event.id);
    if (known) {
      known.show(event);
      return;
    }
    const line = new EventLine(event, this.onJump, (opened) => {
      if (this.#playing !== opened) this.#playing?.close(false);
      this.#playing = opened;
    });
    this.#lines.set(event.id, line);
    this.#note.textContent = "";
    if (isNew) this.#list.prepend(line.element);
    else this.#list.append(line.element);
    if (this.#lines.size > MAX_SHOWN) {
      this.#lines.delete(this.#list.lastChild.dataset.id);
      this.#list.lastChild.remove();
    }
    this.#showRoom();
  }

  /** Where nothing is recorded, pictures take no room. */
  #showRoom() {
    const hasPictures = this.#list.dataset.records === "true" || this.#list.querySelector(".event-play") !== null;
    this.#list.classList.toggle("without-pictures", !hasPictures);
  }
}

/** The choices of a filter, the first of which is all; what was chosen stays so. */
function choices(select, names) {
  const known = [...select.options].slice(1).map(({ value }) => value);
  for (const name of names) if (!known.includes(name)) select.append(new Option(name, name));
}
