// Who does what now, of all cameras: one line for each stream.

import { colourOf } from "./colours.js";
import { make } from "./figures.js";

const SURE = 0.6;
const OVER = ["ended", "failed", "stopped"];

/** The person's number on the person's colour. */
export function chipOf(person) {
  const chip = make("span", "chip", String(person));
  chip.style.background = colourOf(person);
  return chip;
}

/** People with an action that is shown, the sure ones first, otherwise in the order of their numbers. */
function doing(entries) {
  const isSure = ({ shown }) => shown[0].score >= SURE;
  return entries
    .filter(({ shown }) => shown.length)
    .sort((first, second) => isSure(second) - isSure(first) || first.person - second.person);
}

export class Now {
  #section = document.getElementById("now");
  #list = document.getElementById("now-list");
  #lines = new Map();

  add(card) {
    const line = make("li", "now-line");
    const name = make("button", "now-name");
    name.type = "button";
    name.addEventListener("click", () => card.element.scrollIntoView({ behavior: "smooth", block: "start" }));
    line.append(name, make("span", "now-people"));
    line.dataset.stream = card.id;
    this.#lines.set(card, line);
    this.#list.append(line);
    this.#count();
  }

  remove(card) {
    this.#lines.get(card)?.remove();
    this.#lines.delete(card);
    this.#count();
  }

  /** The line of a stream, after a result or a change of its state. */
  show(card) {
    const line = this.#lines.get(card);
    if (!line) return;
    const name = line.querySelector(".now-name");
    name.textContent = card.id;
    name.title = card.name;
    line.dataset.state = card.state;
    const people = line.querySelector(".now-people");
    const active = doing(card.last?.entries ?? []);
    if (OVER.includes(card.state) || card.state === "waiting") people.replaceChildren(make("span", "quiet", card.state));
    else if (!active.length) people.replaceChildren(make("span", "quiet", card.last ? "–" : card.state));
    else people.replaceChildren(...active.map(personOf));
  }

  /** With one stream the card says it all. */
  #count() {
    this.#section.hidden = this.#lines.size < 2;
  }
}

function personOf({ person, shown }) {
  const entry = make("span", "now-person");
  if (person !== null) entry.append(chipOf(person), " ");
  entry.append(shown[0].name, " ", make("b", "", shown[0].score.toFixed(2)));
  return entry;
}
