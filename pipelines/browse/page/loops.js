// Short loops: the frames of a JPEG, which lie beside each other, shown one after the other.

import { getFilm, getMoment, picturesPath } from "./archive_api.js";
import { boxOf } from "./boxes.js";
import { element, sentence } from "./dom.js";

export const LOOP_SECONDS = 3.2;
const FRAMES = 8;
const SHAPE = 16 / 9;
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
    const shape = picture.naturalWidth / FRAMES / picture.naturalHeight;
    const frame = element("span", { className: "frame" }, picture);
    Object.assign(frame.style, { aspectRatio: shape, width: `${Math.min(1, shape / SHAPE) * 100}%` });
    box.replaceChildren(frame);
    box.classList.add("is-shown");
    if (box.dataset.person) showPerson(frame, film, Number(box.dataset.seconds), Number(box.dataset.person));
  } catch {
    const why = await reasonOf(film);
    if (!why && tries > 1 && box.isConnected) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      await load(box, tries - 1);
    } else {
      box.replaceChildren(element("span", { className: "no-picture" }, why ? sentence(why) : "No picture."));
    }
  }
}

/** Shows who is meant: where the person is in the middle of the loop. Without it, the picture is as good. */
async function showPerson(frame, film, seconds, person) {
  const { people } = await getMoment(film, seconds).catch(() => ({ people: null }));
  const found = people?.find((one) => one.person === person);
  if (found) frame.append(boxOf(found));
}

async function reasonOf(film) {
  if (!reasons.has(film)) {
    const found = await getFilm(film).catch(() => null);
    if (!found?.missing) return found?.missing ?? "";
    reasons.set(film, found.missing);
  }
  return reasons.get(film);
}

/** A loop around a time of a film, which is loaded when it comes into view; with the box of a `person`. */
export function loop(film, seconds, { size = "small", why = null, person = null } = {}) {
  const start = Math.max(0, seconds - LOOP_SECONDS / 2);
  const about = { film, start, size, seconds, person };
  const data = Object.entries(about).filter(([, value]) => value !== null).map(([name, value]) => [`data-${name}`, String(value)]);
  const box = element("span", { className: `loop ${size}`, ...Object.fromEntries(data) });
  if (why) box.append(element("span", { className: "no-picture" }, why));
  else observer.observe(box);
  return box;
}

/** A choice, which is remembered, of whether the pictures of a list move. */
export function movingChoice(list) {
  const moving = element("input", {
    type: "checkbox", checked: localStorage.getItem("moving") !== "no",
    onchange: () => {
      localStorage.setItem("moving", moving.checked ? "yes" : "no");
      list.classList.toggle("is-still", !moving.checked);
    },
  });
  list.classList.toggle("is-still", !moving.checked);
  return element("label", { className: "check" }, moving, "Move pictures");
}
