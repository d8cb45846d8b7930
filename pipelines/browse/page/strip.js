// The strip of a film: a row for each action, brighter where its score is higher. A click plays the film from there.

import { getStrip } from "./archive_api.js";
import { GROUND, PAPER, scoreColour } from "./colours.js";
import { clock, element } from "./dom.js";

const ROW = 13;
const GAP = 3;

export class Strip {
  #film;
  #options;
  #data = null;
  #cursor = null;
  #canvas;
  #names = element("ul", { className: "strip-names" });
  #hint = element("p", { className: "strip-hint", "aria-hidden": "true" });
  #onPlay;

  /** `onPlay(seconds)` is called by a click, or by Enter. `options`: {parts, rows, action}. */
  constructor(film, options, onPlay) {
    this.#film = film;
    this.#options = options;
    this.#onPlay = onPlay;
    this.#canvas = element("canvas", {
      className: "strip-canvas",
      tabIndex: 0,
      role: "slider",
      "aria-label": "Actions over time; Enter plays from here",
      onpointermove: (event) => this.#point(this.#secondsAt(event)),
      onpointerleave: () => this.#point(null),
      onclick: (event) => this.#data && onPlay(this.#secondsAt(event)),
      onkeydown: (event) => this.#key(event),
      onblur: () => this.#point(null),
    });
    this.root = element("div", { className: "strip" }, this.#names, this.#canvas, this.#hint);
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
  }

  async load() {
    try {
      this.#data = await getStrip(this.#film, this.#options);
      const rows = this.#data.rows;
      this.#names.replaceChildren(...rows.map(({ action }) => element("li", { title: action }, action)));
      this.#canvas.style.height = `${Math.max(rows.length, 1) * (ROW + GAP) - GAP}px`;
      this.#canvas.setAttribute("aria-valuemin", String(Math.round(this.#data.start_seconds)));
      this.#canvas.setAttribute("aria-valuemax", String(Math.round(this.#end)));
      if (!rows.length) this.#note("No action reaches a score of 0.3.");
      this.#point(null);
    } catch (error) {
      this.#note(error.message);
    }
    return this;
  }

  /** Shows where the film is. */
  playing(seconds) {
    this.playhead = seconds;
    this.draw();
  }

  get #end() {
    const { start_seconds: start, part_seconds: part, rows } = this.#data;
    return start + part * (rows[0]?.scores.length ?? 0);
  }

  #note(words) {
    this.root.replaceChildren(element("p", { className: "quiet" }, words));
  }

  #secondsAt(event) {
    if (!this.#data) return null;
    const { left, width } = this.#canvas.getBoundingClientRect();
    const place = Math.min(Math.max((event.clientX - left) / width, 0), 1);
    const start = this.#data.start_seconds;
    return Math.max(0, start + place * (this.#end - start));
  }

  #key(event) {
    if (!this.#data?.rows.length) return;
    const step = this.#data.part_seconds * (event.shiftKey ? 10 : 1);
    const now = this.#cursor ?? this.playhead ?? 0;
    const moves = { ArrowRight: now + step, ArrowLeft: now - step, Home: 0, End: this.#end - step / 2 };
    if (event.key in moves) this.#point(Math.min(Math.max(moves[event.key], 0), this.#end - 1e-3));
    else if (event.key === "Enter" || event.key === " ") this.#onPlay(now);
    else return;
    event.preventDefault();
  }

  #point(seconds) {
    if (!this.#data) return;
    this.#cursor = seconds;
    const { start_seconds: start, part_seconds: part, rows } = this.#data;
    if (seconds === null) {
      this.#hint.textContent = "";
    } else {
      const place = Math.floor((seconds - start) / part);
      const best = rows
        .map(({ action, scores }) => [action, scores[Math.min(Math.max(place, 0), scores.length - 1)]])
        .filter(([, score]) => score >= 30)
        .sort((first, second) => second[1] - first[1])
        .slice(0, 3)
        .map(([action, score]) => `${action} ${(score / 100).toFixed(2)}`);
      this.#hint.textContent = [clock(seconds), ...best].join(" · ");
    }
    this.#canvas.setAttribute("aria-valuenow", String(Math.round(seconds ?? this.playhead ?? 0)));
    this.#canvas.setAttribute("aria-valuetext", this.#hint.textContent || "0:00");
    this.draw();
  }

  draw() {
    const canvas = this.#canvas;
    const { width, height } = canvas.getBoundingClientRect();
    if (!this.#data || !width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    this.#data.rows.forEach(({ scores }, row) => {
      const top = row * (ROW + GAP);
      pen.fillStyle = GROUND;
      pen.fillRect(0, top, width, ROW);
      scores.forEach((score, part) => {
        if (score < 5) return;
        pen.fillStyle = scoreColour(score / 100);
        const left = (part / scores.length) * width;
        pen.fillRect(left, top, Math.max(width / scores.length + 0.5, 1), ROW);
      });
    });
    for (const [seconds, colour] of [[this.playhead, PAPER], [this.#cursor, PAPER]]) {
      if (seconds === undefined || seconds === null) continue;
      const start = this.#data.start_seconds;
      const left = ((seconds - start) / (this.#end - start)) * width;
      pen.fillStyle = GROUND;
      pen.fillRect(left - 2, 0, 4, height);
      pen.fillStyle = colour;
      pen.fillRect(left - 1, 0, 2, height);
    }
  }
}
