// What to label next: the moments of which a head would be least sure, with buttons that write labels.

import { getSuggestions } from "./archive_api.js";
import { questionCard } from "./cards.js";
import { address, counted, element, sentence } from "./dom.js";
import { movingChoice } from "./loops.js";

const COUNT = 20;
const MOST_ASKED = 200;
const ABOUT = "Yes where the action happens that you teach, no where it does not. Each answer is written at once; " +
  "other moments are chosen with what was learned from them.";

export function showSuggestions(view, info, parameters, signal) {
  const note = element("p", { className: "quiet lines", role: "status" });
  const list = element("ul", { className: "results" });
  const more = element("button", { type: "button", className: "main", onclick: () => ask() }, "Suggest others");
  const reads = element("select", { name: "reads", onchange: () => {
    location.hash = address("label", { reads: reads.value });
  } }, [["", "as the labels say"], ["people", "people"], ["clips", "whole clips"]].map(([value, words]) =>
    element("option", { value, selected: value === (parameters.get("reads") ?? "") }, words)));
  view.replaceChildren(
    element("form", { className: "filter", "aria-label": "What to ask about", onsubmit: (event) => event.preventDefault() },
      info.has_people ? element("label", {}, "Ask about", reads) : null, more),
    element("p", { className: "quiet" }, ABOUT),
    element("section", { "aria-label": "Moments to label" },
      element("div", { className: "results-top" }, note, movingChoice(list)), list));

  let asked = [];

  async function ask() {
    more.disabled = true;
    note.textContent = "Choosing moments …";
    try {
      const { questions, films, about, reads: kind } = await getSuggestions({ count: COUNT, reads: reads.value || null, asked }, signal);
      asked = [...asked, ...questions.map(({ video, seconds, person }) => ({ video, seconds, person }))].slice(-MOST_ASKED);
      const where = films < info.films ? `${films} of ${info.films.toLocaleString("en")} films` : counted(films, "film");
      const few = questions.length ? `${counted(questions.length, "moment")} of ${where}.` : "There is nothing left to ask about in films that can be shown.";
      note.textContent = `${sentence(about)}\n${few}`;
      list.replaceChildren(...questions.map((one) => questionCard(one, kind)));
      window.scrollTo(0, 0);
    } catch (error) {
      if (error.name === "AbortError") return;
      note.textContent = error.message;
      list.replaceChildren();
    }
    more.disabled = false;
  }

  ask();
}
