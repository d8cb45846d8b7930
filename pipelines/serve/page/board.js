// A picture with a polygon on it that is drawn and changed by mouse, finger or keyboard.

import { make } from "./figures.js";

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.01;
const LONG_STEP = 0.1;
// A second click so near to a corner is a part of a double click.
const NEAR_PIXELS = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = {
  draw: "Click into the picture for each corner, and on the first one to finish. Drag corners to move them.",
  edit: "Drag corners, or a point between two for a new one. With the keyboard: Tab to a corner, arrows move it " +
    "(with Shift further), Delete removes it.",
};

const clamp = (value) => Math.min(1, Math.max(0, value));
const percent = (value) => `${Math.round(100 * value)} %`;

export function shape(tag, className, points) {
  const element = document.createElementNS(SVG, tag);
  element.setAttribute("class", className);
  if (points) element.setAttribute("points", points.map(([x, y]) => `${x},${y}`).join(" "));
  return element;
}

/** The name of a zone at its highest corner. */
function nameOf({ name, polygon }) {
  const label = make("span", "", name);
  const [x, y] = polygon.reduce((best, corner) => (corner[1] < best[1] ? corner : best));
  label.style.left = `${100 * Math.min(x, 0.7)}%`;
  label.style.top = `${100 * Math.min(y, 0.93)}%`;
  return label;
}

export class Board {
  /** Corners [x, y] in 0..1; null while nothing is edited. */
  corners = null;
  onCancel = () => {};
  #board = document.getElementById("board");
  #shapes = document.getElementById("board-shapes");
  #handles = document.getElementById("board-corners");
  #help = document.getElementById("board-help");
  #tools = document.getElementById("board-tools");
  /** Whether corners are still being added one after the other. */
  #isOpen = false;
  #selected = -1;
  #others = [];
  #names = document.getElementById("board-names");

  constructor() {
    this.#board.addEventListener("pointerdown", (event) => this.#press(event));
    this.#board.addEventListener("dblclick", () => this.#finish());
    document.getElementById("add-corner").addEventListener("click", () => this.#addByKey());
    document.getElementById("remove-corner").addEventListener("click", () => this.#remove(this.#selected));
  }

  /** Width by height of the picture's frame. */
  set ratio(ratio) {
    this.#board.style.aspectRatio = String(ratio);
    // A high picture must leave room for what belongs to it.
    this.#board.style.maxWidth = `calc(72vh * ${ratio})`;
  }

  /** Zones that are shown and not edited: {name, polygon}. */
  set others(zones) {
    this.#others = zones;
    this.#names.replaceChildren(...zones.map(nameOf));
    this.#place();
  }

  /** Edit these corners; without any, a new polygon is drawn. */
  begin(corners) {
    this.corners = corners.map(([x, y]) => [x, y]);
    this.#isOpen = !corners.length;
    this.#selected = corners.length ? 0 : -1;
    this.#draw();
  }

  end() {
    this.corners = null;
    this.#draw();
  }

  // What is done

  #press(event) {
    if (!this.corners || !this.#isOpen || event.button > 0 || event.target.closest("button")) return;
    event.preventDefault();
    const place = this.#placeOf(event);
    const { width, height } = this.#board.getBoundingClientRect();
    const last = this.corners.at(-1);
    if (last && Math.hypot((last[0] - place[0]) * width, (last[1] - place[1]) * height) < NEAR_PIXELS) return;
    this.corners.push(place);
    this.#select(this.corners.length - 1);
  }

  #finish() {
    if (!this.corners || this.corners.length < 3) return;
    this.#isOpen = false;
    this.#select(0);
  }

  /** A corner in the middle of the longest edge, or of the picture. */
  #addByKey() {
    const { corners } = this;
    if (corners.length < 2) {
      corners.push(corners.length ? [clamp(corners[0][0] + 0.2), corners[0][1]] : [0.4, 0.4]);
      this.#select(corners.length - 1);
      return;
    }
    const lengths = corners.map(([x, y], index) => {
      const [nextX, nextY] = corners[(index + 1) % corners.length];
      return Math.hypot(nextX - x, nextY - y);
    });
    // Between two corners there is one edge, and a third one beside it makes a triangle.
    if (corners.length === 2) corners.push([(corners[0][0] + corners[1][0]) / 2, clamp(corners[0][1] + 0.2)]);
    else {
      this.#insert(lengths.indexOf(Math.max(...lengths)) + 1);
      return;
    }
    this.#isOpen = false;
    this.#select(2);
  }

  /** A corner in the middle of the edge that leads to this place. */
  #insert(index) {
    const [first, second] = [this.corners[index - 1], this.corners[index % this.corners.length]];
    this.corners.splice(index, 0, [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2]);
    this.#select(index);
  }

  #remove(index) {
    if (!this.corners?.length || index < 0) return;
    this.corners.splice(index, 1);
    if (!this.corners.length) this.#isOpen = true;
    this.#select(Math.min(index, this.corners.length - 1));
  }

  #move(index, x, y) {
    this.corners[index] = [clamp(x), clamp(y)];
    this.#place();
  }

  #select(index) {
    this.#selected = index;
    this.#draw();
    this.#handles.querySelector(`[data-corner="${index}"]`)?.focus({ preventScroll: true });
  }

  #key(event, index) {
    const step = event.shiftKey ? LONG_STEP : STEP;
    const arrow = ARROWS[event.key];
    const [x, y] = this.corners[index];
    if (arrow) this.#move(index, x + arrow[0] * step, y + arrow[1] * step);
    else if (event.key === "Delete" || event.key === "Backspace") this.#remove(index);
    else if (event.key === "Escape") this.onCancel();
    else return;
    event.preventDefault();
  }

  #drag(event, index) {
    if (event.button > 0) return;
    event.preventDefault();
    const handle = this.#handles.querySelector(`[data-corner="${index}"]`);
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    const began = [event.clientX, event.clientY];
    let isMoved = false;
    const move = (now) => {
      isMoved ||= Math.hypot(now.clientX - began[0], now.clientY - began[1]) > 3;
      if (isMoved) this.#move(index, ...this.#placeOf(now));
    };
    const stop = () => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", stop);
      handle.removeEventListener("pointercancel", stop);
      if (!isMoved && index === 0 && this.#isOpen) this.#finish();
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", stop);
    handle.addEventListener("pointercancel", stop);
  }

  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.#board.getBoundingClientRect();
    return [clamp((clientX - left) / width), clamp((clientY - top) / height)];
  }

  // What is shown

  #draw() {
    const isEditing = this.corners !== null;
    this.#board.classList.toggle("is-drawing", isEditing && this.#isOpen);
    this.#tools.hidden = !isEditing;
    this.#help.textContent = isEditing ? HELP[this.#isOpen ? "draw" : "edit"] : "";
    this.#handles.replaceChildren(...(isEditing ? this.#makeHandles() : []));
    document.getElementById("remove-corner").disabled = !this.corners?.length;
    this.#place();
  }

  #makeHandles() {
    const corners = this.corners.map((corner, index) => {
      const handle = make("button", "corner");
      handle.type = "button";
      handle.dataset.corner = index;
      handle.classList.toggle("first", index === 0 && this.#isOpen && this.corners.length > 2);
      handle.addEventListener("pointerdown", (event) => this.#drag(event, index));
      handle.addEventListener("keydown", (event) => this.#key(event, index));
      handle.addEventListener("focus", () => (this.#selected = index));
      return handle;
    });
    if (this.#isOpen || this.corners.length < 3) return corners;
    const middles = this.corners.map((corner, index) => {
      const handle = make("button", "middle");
      handle.type = "button";
      handle.tabIndex = -1;
      handle.dataset.middle = index;
      handle.setAttribute("aria-label", `New corner after corner ${index + 1}`);
      handle.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        this.#insert(index + 1);
        this.#drag(event, index + 1);
      });
      return handle;
    });
    return [...corners, ...middles];
  }

  /** Everything in its place, without new elements, so that a corner that is dragged stays the same one. */
  #place() {
    const shapes = this.#others.map(({ polygon }) => shape("polygon", "other", polygon));
    if (this.corners?.length) shapes.push(shape("polygon", this.#isOpen ? "mine open" : "mine", this.corners));
    this.#shapes.replaceChildren(...shapes);
    if (!this.corners) return;
    for (const handle of this.#handles.children) {
      const { corner, middle } = handle.dataset;
      const index = Number(corner ?? middle);
      const [x, y] = this.corners[index];
      const [nextX, nextY] = this.corners[(index + 1) % this.corners.length];
      const place = middle === undefined ? [x, y] : [(x + nextX) / 2, (y + nextY) / 2];
      handle.style.left = `${100 * place[0]}%`;
      handle.style.top = `${100 * place[1]}%`;
      if (middle === undefined) {
        const where = `${percent(x)} from the left, ${percent(y)} from the top`;
        handle.setAttribute("aria-label", `Corner ${index + 1} of ${this.corners.length}: ${where}`);
      }
    }
  }
}
