// Labels for `memvit teach`: yes, no, or skip, at a moment or of a person at a moment.

import { getLabels, putLabel } from "./archive_api.js";
import { counted, element } from "./dom.js";

const keyOf = ({ video, seconds, person }) => `${video}|${seconds.toFixed(3)}|${person ?? ""}`;

class Labels {
  /** Name of the file; null if the server keeps no labels. */
  file = null;
  #given = new Map();
  #note = null;

  async load(file, note) {
    this.file = file;
    this.#note = note;
    if (!file) return;
    for (const one of await getLabels()) if (one.label !== null) this.#given.set(keyOf(one), one.label);
    this.#say();
  }

  get(what) {
    return this.#given.get(keyOf(what)) ?? null;
  }

  async set(what, label) {
    await putLabel({ ...what, label });
    if (label === null) this.#given.delete(keyOf(what));
    else this.#given.set(keyOf(what), label);
    this.#say();
  }

  #say() {
    const values = [...this.#given.values()];
    const yes = values.filter(Boolean).length;
    this.#note.hidden = false;
    this.#note.replaceChildren(
      `${yes} yes, ${values.length - yes} no · `,
      element("a", { href: "api/labels.csv", download: this.file, title: `Download ${this.file}` }, "Labels CSV"),
    );
    this.#note.setAttribute("aria-label", `${counted(values.length, "label")} in ${this.file}`);
  }
}

export const labels = new Labels();

/**
 * The buttons for `what`: {video, seconds, person}. A second click on a label takes it back. `onSkip()` is called by
 * the button Skip, which is there only if it is given.
 */
export function labelButtons(what, subject, onSkip = null) {
  if (!labels.file) return null;
  const problem = element("span", { className: "problem", role: "alert" });
  const make = (words, label) =>
    element("button", {
      type: "button",
      className: label ? "yes" : "no",
      "aria-label": `${words}: ${subject}`,
      onclick: async () => {
        try {
          await labels.set(what, labels.get(what) === label ? null : label);
          problem.textContent = "";
        } catch (error) {
          problem.textContent = error.message;
        }
        show();
      },
    }, words);
  const buttons = [make("Yes", true), make("No", false)];
  const skip = onSkip && element("button", { type: "button", className: "skip", "aria-label": `Skip: ${subject}`, onclick: onSkip }, "Skip");
  const root = element("div", { className: "label-buttons", role: "group", "aria-label": `Label ${subject}` }, buttons, skip, problem);
  function show() {
    const given = labels.get(what);
    buttons[0].setAttribute("aria-pressed", String(given === true));
    buttons[1].setAttribute("aria-pressed", String(given === false));
    root.dataset.label = given === null ? "" : given ? "yes" : "no";
  }
  show();
  return root;
}
