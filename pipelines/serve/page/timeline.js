// The last minute of a stream on a canvas: now at the right, one row for each person, and above them what memory reads.

import { GROUND, INK, MEMORY, MUTED, PAPER, PRESENT, colourOf, scoreColour } from "./colours.js";
import { WINDOW_SECONDS } from "./history.js";

const GUTTER = 26;
const LANE = 16;
const ROW = 22;
const SPACE = 3;
const AXIS = 18;
const FONT = "11px system-ui, sans-serif";
const LINE = "rgba(255, 255, 255, 0.09)";
const MARKS = { lost: "#ff6b6b", stalled: PRESENT, failed: "#ff6b6b", ended: MUTED };

export class Timeline {
  #canvas;
  #context;
  #history;
  #hatch = null;
  #most = 1;
  selected = null;

  constructor(canvas, history) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#history = history;
  }

  /** The result at a place of the canvas, `x` CSS pixels from its left. */
  at(x, isRunning, hop) {
    const now = this.#history.now(isRunning);
    const width = this.#canvas.clientWidth - GUTTER;
    return this.#history.at(now - (1 - (x - GUTTER) / width) * WINDOW_SECONDS, hop);
  }

  draw(isRunning, hop) {
    const history = this.#history;
    const now = history.now(isRunning);
    const seen = history.results.filter((result) => result.seconds > now - WINDOW_SECONDS - hop);
    const rows = seen.flatMap(({ entries }) => entries.map(({ row }) => row + 1)).filter(Number.isFinite);
    // It never gets lower again: people who come and go must not move the page.
    const shown = (this.#most = Math.max(this.#most, ...rows));
    const height = LANE + SPACE + shown * (ROW + SPACE) + AXIS;
    const width = this.#fit(height);
    if (!width) return;
    const pen = this.#context;
    const left = GUTTER;
    const x = (seconds) => left + (1 - (now - seconds) / WINDOW_SECONDS) * (width - left);
    const top = (index) => LANE + SPACE + index * (ROW + SPACE);
    const bottom = top(shown) - SPACE;
    pen.clearRect(0, 0, width, height);
    pen.font = FONT;
    pen.textBaseline = "middle";
    this.#drawGround(x, now, left, width, top, shown, bottom);
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, width - left, height);
    pen.clip();
    for (const [from, to] of history.gaps(hop)) this.#drawGap(x(from), x(to), bottom);
    for (let row = 0; row < shown; row += 1) this.#drawRow(seen, row, x, top(row), hop, left);
    for (const { seconds, kind } of history.marks) this.#drawMark(x(seconds), kind, bottom);
    for (const seconds of history.sessions(hop)) this.#drawSession(x(seconds), bottom);
    if (history.last) this.#drawMemory(history.last, x, hop, left, width, bottom);
    if (this.selected) {
      const { seconds: at } = this.selected;
      this.#drawSelected(x(at - hop / 2), x(at + hop / 2), bottom);
    }
    pen.restore();
  }

  /** Makes the canvas as large as it is shown, in the screen's own pixels; returns its width in CSS pixels. */
  #fit(height) {
    const canvas = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== wide || canvas.height !== high) {
      canvas.width = wide;
      canvas.height = high;
      this.#hatch = null;
    }
    this.#context.setTransform(scale, 0, 0, scale, 0, 0);
    return width;
  }

  #drawGround(x, now, left, width, top, shown, bottom) {
    const pen = this.#context;
    const present = this.#history.last?.entries ?? [];
    for (let index = 0; index < shown; index += 1) {
      pen.fillStyle = GROUND;
      pen.fillRect(left, top(index), width - left, ROW);
      const person = present.find(({ row }) => row === index)?.person ?? null;
      if (person === null) continue;
      pen.fillStyle = colourOf(person);
      pen.beginPath();
      pen.roundRect(0, top(index) + 3, GUTTER - 6, ROW - 6, 4);
      pen.fill();
      pen.fillStyle = INK;
      pen.textAlign = "center";
      pen.fillText(String(person), (GUTTER - 6) / 2, top(index) + ROW / 2 + 0.5, GUTTER - 8);
    }
    pen.fillStyle = MUTED;
    const step = width - left < 420 ? 20 : 10;
    for (let age = 0; age <= WINDOW_SECONDS; age += step) {
      const at = Math.min(Math.max(Math.round(x(now - age)) + 0.5, left + 0.5), width - 0.5);
      pen.fillStyle = LINE;
      pen.fillRect(at - 0.5, LANE + SPACE, 1, bottom - LANE - SPACE + 3);
      pen.fillStyle = MUTED;
      pen.textAlign = age === 0 ? "right" : age === WINDOW_SECONDS ? "left" : "center";
      pen.fillText(age ? `−${age} s` : "now", at, bottom + AXIS / 2 + 2);
    }
    const hidden = present.filter(({ row }) => row === Infinity).length;
    if (hidden) {
      pen.textAlign = "left";
      pen.fillText(`+${hidden}`, 0, bottom + AXIS / 2 + 2);
    }
  }

  /** A row's clips; neighbours of one person with the same best action share its name, written where it fits. */
  #drawRow(seen, row, x, top, hop, left) {
    const pen = this.#context;
    let run = null;
    pen.strokeStyle = "rgba(10, 12, 16, 0.8)";
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    const finish = () => {
      if (!run?.name) return;
      const from = Math.max(run.from, left);
      const room = run.to - from - 8;
      if (room < 18) return;
      const text = shortened(pen, run.name, room);
      if (!text) return;
      pen.textAlign = "left";
      // Clips below one name may be faint and strong: an outline keeps it legible on all.
      pen.strokeText(text, from + 4, top + ROW / 2 + 0.5);
      pen.fillStyle = PAPER;
      pen.fillText(text, from + 4, top + ROW / 2 + 0.5);
    };
    for (const result of seen) {
      const found = result.entries.find((entry) => entry.row === row);
      const best = found?.actions[0];
      if (!best) continue;
      const [from, to] = [x(result.seconds - hop / 2), x(result.seconds + hop / 2)];
      pen.fillStyle = scoreColour(best.score);
      // A little short at the left, so that clips that touch are seen to be two.
      pen.fillRect(from + 0.75, top, Math.max(1, to - from - 0.75), ROW);
      if (found.person !== null) {
        // Whose clips these were: a row has another owner once a person is gone.
        pen.fillStyle = colourOf(found.person);
        pen.fillRect(from, top + ROW - 2, to - from, 2);
      }
      const name = found.shown.length ? best.name : "";
      if (run && run.name === name && run.person === found.person && from - run.to < 1) {
        run.to = to;
      } else {
        finish();
        run = { name, person: found.person, from, to };
      }
    }
    finish();
  }

  #drawGap(from, to, bottom) {
    const pen = this.#context;
    this.#hatch ??= hatch(pen);
    pen.fillStyle = this.#hatch;
    pen.fillRect(from, LANE + SPACE, to - from, bottom - LANE - SPACE);
  }

  #drawSession(at, bottom) {
    const pen = this.#context;
    pen.strokeStyle = "#ff78a0";
    pen.lineWidth = 1.5;
    pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.moveTo(at, LANE);
    pen.lineTo(at, bottom);
    pen.stroke();
    pen.setLineDash([]);
  }

  #drawMark(at, kind, bottom) {
    const pen = this.#context;
    pen.fillStyle = MARKS[kind] ?? MUTED;
    pen.beginPath();
    pen.moveTo(at, bottom - 5);
    pen.lineTo(at + 4, bottom + 3);
    pen.lineTo(at - 4, bottom + 3);
    pen.fill();
  }

  /** The strip at the top: the present clip, the past ones it attends to, and how far an influence can reach. */
  #drawMemory(last, x, hop, left, width, bottom) {
    const pen = this.#context;
    const { attended_seconds: attended, reach_seconds: reach } = last.memory;
    const present = [x(last.seconds - hop / 2), x(last.seconds + hop / 2)];
    if (reach > 0) {
      const from = x(last.seconds - reach - hop / 2);
      const visible = Math.max(from, left);
      pen.fillStyle = MEMORY;
      pen.globalAlpha = 0.2;
      pen.fillRect(visible, 2, present[1] - visible, LANE - 4);
      pen.globalAlpha = 1;
      pen.fillStyle = MEMORY;
      if (from >= left) {
        pen.fillRect(from, 1, 2, LANE - 2);
        pen.globalAlpha = 0.35;
        pen.fillRect(from, LANE, 1, bottom - LANE);
        pen.globalAlpha = 1;
      }
      const room = from - left - 6;
      const long = `memory reaches ${seconds(reach)}`;
      const fits = pen.measureText(long).width < room;
      const text = from < left ? `← ${seconds(reach)}` : fits ? long : seconds(reach);
      const wide = pen.measureText(text).width;
      pen.textAlign = wide < room ? "right" : "left";
      pen.fillStyle = PAPER;
      pen.fillText(text, wide < room ? from - 5 : visible + 6, LANE / 2 + 0.5);
    }
    for (const age of attended) {
      const [from, to] = [x(last.seconds - age - hop / 2), x(last.seconds - age + hop / 2)];
      pen.fillStyle = MEMORY;
      pen.fillRect(from + 0.75, 3, to - from - 0.75, LANE - 6);
      // Caps above and below the people's rows, and no frame: it would cut names in two.
      pen.fillStyle = "rgba(255, 255, 255, 0.06)";
      pen.fillRect(from, LANE, to - from, bottom - LANE);
      pen.fillStyle = "rgba(255, 255, 255, 0.9)";
      pen.fillRect(from + 0.75, LANE, to - from - 0.75, 2);
      pen.fillRect(from + 0.75, bottom + 1, to - from - 0.75, 2);
    }
    pen.fillStyle = PRESENT;
    pen.fillRect(present[0] + 0.75, 3, present[1] - present[0] - 0.75, LANE - 6);
  }

  #drawSelected(from, to, bottom) {
    const pen = this.#context;
    pen.fillStyle = "rgba(255, 255, 255, 0.16)";
    pen.fillRect(from, 0, to - from, bottom);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 1.5;
    pen.strokeRect(from, 1, to - from, bottom - 1);
  }
}

const seconds = (value) => `${Number(value.toFixed(1))} s`;

/** The text, cut where it is too wide; nothing if not even a few letters fit. */
function shortened(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let most = text.length - 1;
  while (most > 4 && pen.measureText(`${text.slice(0, most)}…`).width > room) most -= 1;
  return most > 4 ? `${text.slice(0, most).trimEnd()}…` : "";
}

function hatch(pen) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const tilePen = tile.getContext("2d");
  tilePen.strokeStyle = "rgba(255, 255, 255, 0.22)";
  tilePen.lineWidth = 1.5;
  for (const shift of [-8, 0, 8]) {
    tilePen.beginPath();
    tilePen.moveTo(shift, 8);
    tilePen.lineTo(shift + 8, 0);
    tilePen.stroke();
  }
  return pen.createPattern(tile, "repeat");
}
