// Search by action, and by example: results as short loops, best first.

import { search } from "./archive_api.js";
import { intervalCard, momentCard } from "./cards.js";
import { address, clock, counted, element, filmAddress, nameOf } from "./dom.js";
import { actionChoice } from "./films.js";
import { loop, movingChoice } from "./loops.js";

const LIMIT = 60;

export function showSearch(view, info, parameters, signal) {
  const value = (name, otherwise = "") => parameters.get(name) ?? otherwise;
  const number = (name, otherwise, more) =>
    element("input", { type: "number", name, value: value(name, otherwise), ...more });
  const form = element("form", {
    className: "filter", "aria-label": "What to look for",
    onsubmit: (event) => {
      event.preventDefault();
      location.hash = address("search", Object.fromEntries(new FormData(form)));
    },
    onchange: () => form.requestSubmit(),
  },
    element("label", {}, "Action", actionChoice(info, value("action"), "choose one", { name: "action", "data-taught": "yes" })),
    element("label", {}, "Minimum score", number("min_score", "0.5", { min: "0", max: "1", step: "0.05" })),
    element("label", {}, "Minimum seconds", number("min_seconds", "0", { min: "0", step: "any" })),
    element("label", {}, "Merge seconds", number("merge_seconds", "0", { min: "0", step: "any" })),
    info.has_people ? element("label", {}, "Person", number("person", "", { min: "0", step: "1", placeholder: "all" })) : null,
    element("label", {}, "Film", element("input", { type: "text", name: "text", value: value("text"), maxLength: 200, placeholder: "all" })),
    element("button", { type: "submit", className: "main" }, "Search"));
  const results = new Results(signal);
  view.replaceChildren(form, results.root);
  const chosen = value("action");
  if (!chosen) {
    results.say("Choose an action.");
    return;
  }
  const isTaught = chosen.startsWith("taught:");
  const asked = {
    [isTaught ? "taught" : "action"]: isTaught ? chosen.slice("taught:".length) : chosen,
    ...Object.fromEntries(["min_score", "min_seconds", "merge_seconds", "person", "text"].map((name) => [name, value(name)])),
  };
  results.run("find", asked, "peak_score", (one) => intervalCard(one, info, Number(value("merge_seconds", "0"))));
}

export function showSimilar(view, info, parameters, signal) {
  const film = parameters.get("film") ?? "";
  const seconds = Number(parameters.get("seconds")) || 0;
  const person = parameters.get("person");
  const people = parameters.get("people") === "true";
  const exact = parameters.get("exact") === "true";
  const all = address("like", { film, seconds, person, people: people ? "true" : "", exact: "true" });
  const results = new Results(signal);
  const who = person === null ? "" : `, person ${person}`;
  view.replaceChildren(
    element("section", { className: "example" },
      element("a", { href: filmAddress(film, seconds) }, loop(film, seconds, { person })),
      element("div", {},
        element("h2", {}, people ? "People who look like this one" : "Moments that look like this one"),
        element("p", { className: "quiet" }, nameOf(film), ` at ${clock(seconds)}${who}`))),
    results.root);
  results.run("similar", { film, seconds, person, people, exact }, "similarity", (one) => momentCard(one, people),
    (found) => wordsOfSimilar(found, info, all));
}

/** The results of a search, which are shown while it goes on. */
class Results {
  #note = element("p", { className: "quiet", role: "status" });
  #list = element("ul", { className: "results" });
  #cards = new Map();
  #signal;

  constructor(signal) {
    this.#signal = signal;
    this.root = element("section", { "aria-label": "Results" },
      element("div", { className: "results-top" }, this.#note, movingChoice(this.#list)),
      this.#list);
  }

  say(...words) {
    this.#note.replaceChildren(...words);
  }

  /** `wordsOf(found)` returns what is said of a search that is complete: texts and elements. */
  async run(kind, asked, rank, makeCard, wordsOf = wordsOfFind) {
    this.say("Searching …");
    try {
      await search(kind, asked, LIMIT, rank, this.#signal, (all) => {
        this.#show(all.results, makeCard);
        this.say(...words(all, wordsOf));
      });
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
    }
  }

  /** A card stays the same while others come before it, so that its loop goes on. */
  #show(results, makeCard) {
    const keep = new Map();
    for (const one of results) {
      const key = JSON.stringify(one);
      keep.set(key, this.#cards.get(key) ?? makeCard(one));
    }
    this.#cards = keep;
    const wanted = [...keep.values()];
    wanted.forEach((card, place) => {
      if (this.#list.children[place] !== card) this.#list.insertBefore(card, this.#list.children[place] ?? null);
    });
    while (this.#list.children.length > wanted.length) this.#list.lastChild.remove();
  }
}

function words(all, wordsOf) {
  const { results, searched, films, byIndex, damaged, isComplete } = all;
  const which = byIndex ? " that the index chose" : "";
  if (!isComplete) return [`Searched ${searched.toLocaleString("en")} of ${counted(films, "film")}${which} …`];
  const broken = damaged.length ? ` ${counted(damaged.length, "damaged film")} not searched.` : "";
  return [...(results.length ? wordsOf(all) : [`Nothing was found in ${counted(searched, "film")}${which}.`]), broken];
}

function wordsOfFind({ results, found, searched }) {
  const shown = found > results.length ? ` The best ${results.length} are shown.` : "";
  return [`${counted(found, "result")} in ${counted(searched, "film")}.${shown}`];
}

/** Says what was compared; `all` is the address of the search that compares everything. */
function wordsOfSimilar({ results, searched, byIndex, note }, info, all) {
  const most = results.length > 1 ? `The ${results.length} most similar moments` : "The most similar moment";
  const about = note ? ` Note: ${note}.` : "";
  if (!byIndex) return [`${most} of ${counted(searched, "film")}, all compared exactly.${about}`];
  const chosen = `${most} of ${counted(searched, "film")} that the index chose from ${info.films.toLocaleString("en")}.`;
  return [`${chosen}${about} `, element("a", { href: all }, "Compare all films")];
}
