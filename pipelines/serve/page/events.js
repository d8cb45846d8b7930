// What happened: events of the rules, newest first, with filters; and how many began since the list was last looked at.

import { getHistory, historyPath } from "./api.js";
import { clock, make } from "./figures.js";
import { chipOf } from "./now.js";

const PAGE = 50;
// Bound of the events that are shown, and of those that are counted as new.
const MAX_SHOWN = 500;

const byId = (id) => document.getElementById(id);
const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export class Events {
  #section = byId("events");
  #button = byId("open-events");
  #list = byId("event-list");
  #form = byId("event-filter");
  #lines = new Map();
  #unseen = new Set();
  #cursor = null;
  /** Events that were told before this time of the server were there before the page. */
  #since = Infinity;
  #asked = 0;

  /** `onJump(stream)` shows a stream. */
  constructor(onJump) {
    this.onJump = onJump;
    this.#button.addEventListener("click", () => this.#open(this.#section.hidden));
    this.#form.addEventListener("change", () => this.#load());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    byId("more-events").addEventListener("click", () => this.#load(this.#cursor));
  }

  /** The server has these rules; without any, the page shows nothing of events. */
  setRules(rules) {
    this.#button.hidden = !rules.length;
    if (!rules.length) this.#open(false);
    choices(this.#form.elements.rule, rules);
  }

  setStreams(ids) {
    choices(this.#form.elements.stream, ids);
  }

  /** The server's time in unix seconds when the page was opened. */
  begin(seconds) {
    if (this.#since === Infinity && Number.isFinite(seconds)) this.#since = seconds;
  }

  /** An event, as the server tells it now; after a broken connection some are told again. */
  add(event) {
    if (event.state === "new" && event.time_unix >= this.#since && this.#section.hidden) {
      if (this.#unseen.size < MAX_SHOWN) this.#unseen.add(event.id);
      this.#showCount();
    }
    if (!this.#section.hidden && this.#matches(event)) this.#show(event, true);
  }

  #open(isOpen) {
    this.#section.hidden = !isOpen;
    this.#button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    this.#unseen.clear();
    this.#showCount();
    this.#load();
  }

  #showCount() {
    const badge = byId("new-events");
    const count = this.#unseen.size;
    badge.hidden = !count;
    badge.textContent = count;
    this.#button.setAttribute("aria-label", count ? `Events, ${count} new` : "Events");
  }

  #query() {
    const { stream, rule, person, from, to } = this.#form.elements;
    const query = { stream: stream.value, rule: rule.value, person: person.value };
    for (const [name, field] of [["from", from], ["to", to]]) {
      if (field.value) query[name] = new Date(field.value).toISOString();
    }
    return Object.fromEntries(Object.entries(query).filter(([, value]) => value));
  }

  #matches(event) {
    const { stream, rule, person, from, to } = this.#query();
    const at = event.start_time ?? new Date(event.time_unix * 1000).toISOString();
    return (
      (!stream || stream === event.stream) &&
      (!rule || rule === event.rule) &&
      (!person || Number(person) === event.person) &&
      (!from || at >= from) &&
      (!to || at < to)
    );
  }

  /** The newest events, or those that follow at a cursor. */
  async #load(cursor = null) {
    const asked = ++this.#asked;
    const query = this.#query();
    byId("events-csv").href = historyPath({ ...query, format: "csv", limit: 1000 });
    const note = byId("events-note");
    try {
      const found = await getHistory({ ...query, limit: PAGE, ...(cursor && { cursor }) });
      if (asked !== this.#asked) return;
      if (!cursor) this.#clear();
      found.events.forEach((event) => this.#show(event, false));
      this.#cursor = found.cursor;
      note.textContent = this.#lines.size ? "" : "No event was found.";
    } catch (error) {
      if (asked === this.#asked) note.textContent = error.message;
    }
    byId("more-events").hidden = !this.#cursor || this.#lines.size >= MAX_SHOWN;
  }

  #clear() {
    this.#lines.clear();
    this.#list.replaceChildren();
  }

  #show(event, isNew) {
    const before = this.#lines.get(event.id);
    if (before && Number(before.dataset.number) > event.number) return;
    const line = this.#line(event);
    this.#lines.set(event.id, line);
    byId("events-note").textContent = "";
    if (before) before.replaceWith(line);
    else if (isNew) this.#list.prepend(line);
    else this.#list.append(line);
    if (this.#lines.size > MAX_SHOWN) {
      this.#lines.delete(this.#list.lastChild.dataset.id);
      this.#list.lastChild.remove();
    }
  }

  #line(event) {
    const line = make("li", "event-line");
    Object.assign(line.dataset, { id: event.id, state: event.state, number: event.number });
    const who = make("span", "event-what");
    if (event.person !== null) who.append(chipOf(event.person), " ");
    who.append(make("b", "", event.rule));
    const said = event.action !== null ? ` ${event.action} ${event.peak_score.toFixed(2)}` : "";
    who.append(make("span", "quiet", `${said}${event.zone !== null ? ` · ${event.zone}` : ""}`));
    const stream = make("button", "event-stream", event.stream);
    stream.type = "button";
    stream.addEventListener("click", () => this.onJump(event.stream));
    line.append(timeOf(event), stream, who);
    if (event.state !== "end") line.append(make("span", "event-now", "now"));
    return line;
  }
}

/** Local time where the time of day is known, otherwise the stream's own; with how long it lasted. */
function timeOf(event) {
  const time = make("time", "event-time");
  const lasted = event.end_seconds - event.start_seconds;
  if (event.start_time === null) time.textContent = clock(event.start_seconds);
  else {
    const start = new Date(event.start_time);
    time.dateTime = event.start_time;
    time.title = day.format(start);
    const isToday = day.format(start) === day.format(new Date());
    time.textContent = (isToday ? "" : `${day.format(start)}, `) + timeOfDay.format(start);
  }
  time.append(make("small", "", ` ${lasted < 60 ? `${+lasted.toFixed(1)} s` : clock(lasted)}`));
  return time;
}

/** The choices of a filter, the first of which is all; what was chosen stays so. */
function choices(select, names) {
  const known = [...select.options].slice(1).map(({ value }) => value);
  for (const name of names) if (!known.includes(name)) select.append(new Option(name, name));
}
