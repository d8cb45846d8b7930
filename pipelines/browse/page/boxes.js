// Boxes of people over a picture or a film.

import { colourOf } from "./colours.js";
import { element } from "./dom.js";

/** The box of a person: `box` is x1, y1, x2, y2 in 0..1 of the picture, `person` a number or null. */
export function boxOf({ person, box }) {
  const made = element("div", { className: "box" }, person === null ? null : element("span", {}, String(person)));
  const [left, top, right, bottom] = box.map((value) => `${(value * 100).toFixed(2)}%`);
  Object.assign(made.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
  made.style.setProperty("--who", person === null ? "var(--nobody)" : colourOf(person));
  return made;
}
