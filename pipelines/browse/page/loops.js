// Short loops: the frames of a JPEG, which lie beside each other, shown one after the other.

import { getFilm, picturesPath } from "./archive_api.js";
import { element } from "./dom.js";

export const LOOP_SECONDS = 3.2;
const AT_A_TIME = 3;
const AGAIN_MS = 1500;
const TRIES = 4;

const waiting = [];
let running = 0;
/** Film → why it has no pictures. */
const reasons = new Map();

const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      waiting.push(target);
    }
    next();
  },
  { rootMargin: "200px" },
);

function next() {
  while (running < AT_A_TIME && waiting.length) {
    const box = waiting.shift();
    if (!box.isConnected) continue;
    running += 1;
    load(box, TRIES).finally(() => {
      running -= 1;
      next();
    });
  }
}

async function load(box, tries) {
  const picture = element("img", { alt: "", draggable: false });
  const { film, start, size } = box.dataset;
  picture.src = picturesPath(film, Number(start), size);
  try {
    await picture.decode();
    box.replaceChildren(picture);
    box.classList.add("is-shown");
  } catch {
    const why = await reasonOf(film);
    if (!why && tries > 1 && box.isConnected) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      await load(box, tries - 1);
    } else {
      box.replaceChildren(element("span", { className: "no-picture" }, why || "No picture."));
    }
  }
}

async function reasonOf(film) {
  if (!reasons.has(film)) {
    const found = await getFilm(film).catch(() => null);
    if (!found?.missing) return found?.missing ?? "";
    reasons.set(film, found.missing);
  }
  return reasons.get(film);
}

/** A loop around a time of a film, which is loaded when it comes into view. */
export function loop(film, seconds, { size = "small", why = null } = {}) {
  const start = Math.max(0, seconds - LOOP_SECONDS / 2);
  const box = element("span", { className: `loop ${size}`, "data-film": film, "data-start": String(start), "data-size": size });
  if (why) box.append(element("span", { className: "no-picture" }, why));
  else observer.observe(box);
  return box;
}
