// The zones of a stream over its live picture.

import { shape } from "./board.js";

export class ZoneShapes {
  #svg;
  #zones = [];
  #frame = null;
  #picture = null;

  constructor(svg) {
    this.#svg = svg;
  }

  set zones(zones) {
    if (JSON.stringify(zones) === JSON.stringify(this.#zones)) return;
    this.#zones = zones;
    this.#draw();
  }

  /** The size of the stream's frames. */
  setFrame(width, height) {
    if (this.#frame?.[0] === width && this.#frame?.[1] === height) return;
    this.#frame = width && height ? [width, height] : null;
    this.#draw();
  }

  /** The size of the picture, which has the frame at its top and the memory below it. */
  setPicture(width, height) {
    if (this.#picture?.[0] === width && this.#picture?.[1] === height) return;
    this.#picture = [width, height];
    this.#draw();
  }

  #draw() {
    const isShown = Boolean(this.#zones.length && this.#frame && this.#picture);
    this.#svg.toggleAttribute("hidden", !isShown);
    if (!isShown) return;
    const [width, height] = this.#picture;
    const frameHeight = (width * this.#frame[1]) / this.#frame[0];
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.replaceChildren();
    for (const { name, polygon } of this.#zones) {
      const points = polygon.map(([x, y]) => [x * width, y * frameHeight]);
      const text = shape("text", "zone-label");
      const top = points.reduce((best, point) => (point[1] < best[1] ? point : best));
      text.textContent = name;
      text.setAttribute("x", Math.min(top[0] + width / 120, width * 0.8));
      text.setAttribute("y", Math.min(top[1] + width / 28, frameHeight - 4));
      text.setAttribute("font-size", width / 34);
      this.#svg.append(shape("polygon", "zone-shape", points), text);
    }
  }
}
