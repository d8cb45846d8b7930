// One stream: its state, pictures, timeline and figures.

import { scoreColour } from "./colours.js";
import { Figures, clock, make } from "./figures.js";
import { minScore } from "./history.js";
import { chipOf } from "./now.js";
import { Screen } from "./screen.js";
import { Timeline } from "./timeline.js";
import { ZoneShapes } from "./zone_shapes.js";

const OVER = ["ended", "failed", "stopped"];
const SHOWING = ["live", "stalled"];
const SURE_MS = 4000;
const SHOWN_PEOPLE = 6;
const SHOWN_ACTIONS = 2;

export class Card {
  onShow = () => {};
  onHide = () => {};
  onRemove = async () => {};
  isVisible = false;
  #hasFailed = false;
  #history;
  #timeline;
  #figures;
  #status = null;
  #reason = "";
  #hop = 1;
  #screen;
  #zones;
  #mostLines = 1;
  #sureTimer = 0;

  constructor(id, history) {
    this.id = id;
    this.#history = history;
    const template = document.getElementById("card");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.stream = id;
    this.#showName(id);
    this.element.setAttribute("aria-label", `Stream ${id}`);
    const canvas = this.#part("timeline");
    canvas.setAttribute("aria-label", `Clips of the last 60 seconds of ${id}`);
    this.#timeline = new Timeline(canvas, history);
    this.#figures = new Figures(this.#part("more"));
    this.#zones = new ZoneShapes(this.#part("zone-shapes"));
    this.#screen = new Screen(id, this.element, () => this.#showState());
    this.#screen.onSize = (width, height) => this.#zones.setPicture(width, height);
    this.#listenToRemove();
    this.#listenToTimeline(canvas);
    this.#part("show").addEventListener("click", () => this.onShow());
    this.#part("hide").addEventListener("click", () => this.onHide());
    this.#part("show").setAttribute("aria-label", `Show pictures of ${id}`);
    this.#part("hide").setAttribute("aria-label", `Pause pictures of ${id}`);
    this.#screen.say(this.state);
    this.showResult();
  }

  /** The heading: the source's name, with the stream's id where it differs. */
  #showName(name) {
    this.name = name;
    this.#part("name").textContent = name;
    this.#part("name").title = name;
  }

  #part(name) {
    return this.element.querySelector(`.${name}`);
  }

  get last() {
    return this.#history.last;
  }

  // State

  /** What the list of streams tells. */
  show(status, hop) {
    this.#status = status;
    this.#hop = hop;
    this.#showName(status.name === this.id ? this.id : `${status.name} (${this.id})`);
    this.#part("source").textContent = status.source;
    this.#part("source").title = status.source;
    this.#figures.show(status);
    this.#zones.setFrame(status.width, status.height);
    this.#showState();
    this.#screen.follow(OVER.includes(this.state), status.has_picture);
  }

  /** All zones; those of this stream are drawn over its picture. */
  showZones(zones) {
    this.#zones.zones = zones.filter(({ on_streams: ids }) => ids.includes(this.id));
  }

  /** An event that is not a result. */
  showEvent(kind, data) {
    if (["opened", "session"].includes(kind)) this.#reason = "";
    else if (kind === "lost") this.#reason = `${data.reason}; trying again in ${data.retry_seconds} s`;
    else this.#reason = data.reason ?? "";
    this.#hasFailed = kind === "failed";
    this.#showState();
  }

  get state() {
    const state = this.#status?.state ?? "connecting";
    // A stream whose model failed is stopped, and only the event says why.
    return state === "stopped" && this.#hasFailed ? "failed" : state;
  }

  get #isRunning() {
    return Boolean(this.#status?.is_live) && !OVER.includes(this.state);
  }

  /** Whether there is anything to look at that changes. */
  get hasPictures() {
    return SHOWING.includes(this.state);
  }

  #showState() {
    const { state } = this;
    const badge = this.#part("state");
    if (this.element.dataset.state !== state) {
      this.element.dataset.state = state;
      badge.textContent = state;
      this.#screen.say(state);
    }
    // A stream that was never open has nothing to show, and one that is over may have no picture.
    this.element.classList.toggle("bare", !this.#history.last && !SHOWING.includes(state) && state !== "connecting");
    this.element.classList.toggle("blank", OVER.includes(state) && !this.#screen.hasPicture);
    const isBad = !["live", "connecting"].includes(state);
    const reason = isBad ? this.#reason || this.#status?.last_failure || "" : "";
    const note = this.#part("note");
    note.hidden = !reason;
    // Reasons begin with the stream's name, which stands above them already.
    note.textContent = reason.startsWith(`${this.id}: `) ? reason.slice(this.id.length + 2) : reason;
    const condition = this.#status?.condition ?? "ok";
    const conditionBadge = this.#part("condition");
    conditionBadge.hidden = condition === "ok";
    conditionBadge.textContent = `picture ${condition}`;
  }

  #listenToRemove() {
    const button = this.#part("remove");
    const settle = () => {
      clearTimeout(this.#sureTimer);
      button.classList.remove("sure");
      button.textContent = "Remove";
      button.setAttribute("aria-label", `Remove ${this.id}`);
    };
    settle();
    button.addEventListener("click", async () => {
      // The stream's memory is deleted with it, so that one accidental click must not do it.
      if (!button.classList.contains("sure")) {
        button.classList.add("sure");
        button.textContent = "Really remove?";
        button.setAttribute("aria-label", `Really remove ${this.id}?`);
        this.#sureTimer = setTimeout(settle, SURE_MS);
        return;
      }
      settle();
      button.disabled = true;
      try {
        await this.onRemove();
      } catch (error) {
        this.#reason = error.message;
        this.#part("note").hidden = false;
        this.#part("note").textContent = error.message;
        button.disabled = false;
      }
    });
    button.addEventListener("blur", settle);
    button.addEventListener("keydown", (event) => {
      if (event.key === "Escape") settle();
    });
  }

  // Pictures

  get isShowing() {
    return this.#screen.isOn;
  }

  startPicture() {
    this.#screen.start();
  }

  stopPicture() {
    this.#screen.stop();
  }

  offerPicture(isOffered) {
    this.#part("show").hidden = !isOffered;
    this.#part("hide").hidden = !this.isShowing || isOffered;
  }

  // Results

  /** The present clip in words, or the one that is pointed at. */
  showResult() {
    this.element.dataset.results = this.#history.received;
    if (this.#timeline.selected && !this.#history.results.includes(this.#timeline.selected)) {
      this.#timeline.selected = null;
    }
    const { selected } = this.#timeline;
    const result = selected ?? this.#history.last;
    const people = result?.entries ?? [];
    const active = people.filter(({ shown }) => shown.length);
    this.#part("when").textContent = result ? this.#sentence(result, Boolean(selected)) : "No clip answered yet";
    const entries = active.slice(0, SHOWN_PEOPLE).map((entry) => this.#entry(entry));
    const rest = people.length - Math.min(active.length, SHOWN_PEOPLE);
    if (active.length > SHOWN_PEOPLE) entries.push(make("li", "quiet", `and ${rest} more`));
    else if (rest && people[0].person !== null) {
      const who = active.length ? `${rest} more` : rest === 1 ? "1 person" : `${rest} people`;
      entries.push(make("li", "quiet", `${who}: no action scored ${minScore}`));
    } else if (rest) entries.push(make("li", "quiet", `no action scored ${minScore}`));
    if (result && !people.length) entries.push(make("li", "quiet", "nobody"));
    const who = this.#part("who");
    who.replaceChildren(...entries);
    // It never gets lower again: people who come and go must not move the page.
    this.#mostLines = Math.max(this.#mostLines, entries.length);
    who.style.minHeight = `${24 * this.#mostLines}px`;
    this.#describe(result, people);
  }

  #sentence(result, isPast) {
    const { attended_seconds: attended } = result.memory;
    const ages = attended.map((age) => +age.toFixed(1)).join(", ");
    const memory = ages ? `reads ${ages} s ago` : result.memory.clips ? "no memory yet" : "no memory";
    const missed = result.missed ? ` · ${result.missed} missed before` : "";
    return `${isPast ? "At" : "Now"} ${clock(result.seconds)} · clip ${result.clip} · ${memory}${missed}`;
  }

  #entry({ person, shown }) {
    const entry = make("li");
    if (person !== null) entry.append(chipOf(person));
    for (const { name, score } of shown.slice(0, SHOWN_ACTIONS)) {
      const action = make("span", "action");
      const bar = make("i", "score");
      bar.style.background = scoreColour(score);
      action.append(make("span", "action-name", name), " ", make("b", "", score.toFixed(2)), bar);
      entry.append(action);
    }
    return entry;
  }

  #describe(result, people) {
    const canvas = this.#part("timeline");
    const age = result && this.#history.last ? this.#history.last.seconds - result.seconds : 0;
    canvas.setAttribute("aria-valuemin", "-60");
    canvas.setAttribute("aria-valuemax", "0");
    canvas.setAttribute("aria-valuenow", String(Math.round(-age)));
    const nameOf = ({ person, shown }) => `${person === null ? "" : `person ${person} `}${shown[0]?.name ?? ""}`.trim();
    const words = people.map(nameOf).join(", ") || "nobody";
    canvas.setAttribute("aria-valuetext", result ? `${clock(result.seconds)}: ${words}` : "empty");
  }

  #listenToTimeline(canvas) {
    const select = (result) => {
      this.#timeline.selected = result;
      this.showResult();
      this.draw();
    };
    canvas.addEventListener("pointermove", (event) => {
      select(this.#timeline.at(event.offsetX, this.#isRunning, this.#hop));
    });
    canvas.addEventListener("pointerleave", () => select(null));
    canvas.addEventListener("blur", () => select(null));
    canvas.addEventListener("keydown", (event) => {
      const { results } = this.#history;
      const at = this.#timeline.selected ? results.indexOf(this.#timeline.selected) : results.length - 1;
      const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: results.length - 1 }[event.key];
      if (event.key === "Escape") select(null);
      if (next === undefined || !results.length) return;
      event.preventDefault();
      select(results[Math.min(results.length - 1, Math.max(0, next))]);
    });
  }

  draw() {
    this.#timeline.draw(this.#isRunning, this.#hop);
  }
}
