// The list of films, page by page, each with its strip.

import { getFilms } from "./archive_api.js";
import { address, clock, counted, element, filmAddress, nameOf, sentence } from "./dom.js";
import { loop } from "./loops.js";
import { Strip } from "./strip.js";

const PAGE_SIZE = 20;
const STATES = ["done", "running", "unfinished", "failed", "damaged"];
const TYPING_MS = 250;

/** A choice of an action from the model's and the taught ones. */
export function actionChoice(info, chosen, first, more = {}) {
  const option = (value, words) => element("option", { value, selected: value === chosen }, words);
  const choice = element("select", more, first ? option("", first) : null);
  if (info.taught.length && more["data-taught"]) {
    choice.append(element("optgroup", { label: "Taught" }, info.taught.map((name) => option(`taught:${name}`, name))));
  }
  choice.append(element("optgroup", { label: "Of the model" }, [...info.actions].sort().map((name) => option(name, name))));
  return choice;
}

export function showFilms(view, info, parameters, signal) {
  const page = Math.max(1, Number(parameters.get("page")) || 1);
  const go = (more) => {
    const kept = { text: text.value, state: state.value, action: action.value, ...more };
    history.replaceState(null, "", address("films", kept));
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  };
  let timer = 0;
  const text = element("input", {
    type: "text", name: "text", value: parameters.get("text") ?? "", maxLength: 200, autocomplete: "off",
    spellcheck: false, placeholder: "part of the name",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => refresh(1), TYPING_MS);
    },
  });
  const chosenState = parameters.get("state") ?? "";
  const state = element("select", { name: "state", onchange: () => go() },
    element("option", { value: "" }, "all"),
    STATES.map((one) => element("option", { value: one, selected: one === chosenState }, one)));
  const action = actionChoice(info, parameters.get("action") ?? "", "most frequent", { name: "action", onchange: () => go() });
  const note = element("p", { className: "quiet", role: "status" });
  const list = element("ul", { className: "films" });
  const pages = element("nav", { className: "pages", "aria-label": "Pages" });
  view.replaceChildren(
    element("form", { className: "filter", "aria-label": "Which films", onsubmit: (event) => event.preventDefault() },
      element("label", {}, "Film", text), element("label", {}, "State", state), element("label", {}, "Actions shown", action)),
    note, list, pages);

  async function refresh(number) {
    const asked = { text: text.value, state: state.value, offset: (number - 1) * PAGE_SIZE, limit: PAGE_SIZE };
    history.replaceState(null, "", address("films", {
      text: text.value, state: state.value, action: action.value, page: number > 1 ? number : "" }));
    note.textContent = "Reading …";
    try {
      const { films, count } = await getFilms(asked, signal);
      note.textContent = count ? counted(count, "film") : info.films ? "No film fits." : "The archive is empty.";
      list.replaceChildren(...films.map((film) => filmLine(film, action.value)));
      showPages(number, Math.ceil(count / PAGE_SIZE));
    } catch (error) {
      if (error.name !== "AbortError") note.textContent = error.message;
    }
  }

  function showPages(number, last) {
    const button = (words, to) => element("button", {
      type: "button", disabled: to < 1 || to > last,
      onclick: () => {
        refresh(to);
        window.scrollTo(0, 0);
      },
    }, words);
    pages.hidden = last < 2;
    pages.replaceChildren(button("Previous", number - 1), element("span", {}, `Page ${number} of ${last.toLocaleString("en")}`), button("Next", number + 1));
  }

  refresh(page);
}

function filmLine(film, action) {
  const isDone = film.state === "done";
  const name = isDone ? element("a", { href: filmAddress(film.id) }, nameOf(film.name)) : nameOf(film.name);
  const facts = [
    film.seconds === null ? null : clock(film.seconds),
    film.persons === null ? null : counted(film.persons, "person", "people"),
    isDone ? null : `${counted(film.clips, "clip")} so far`,
  ].filter(Boolean);
  const line = element("li", { className: "film", "data-film": film.id },
    element("a", { className: "film-picture", href: filmAddress(film.id), tabIndex: -1, "aria-hidden": "true" },
      isDone ? loop(film.id, (film.seconds ?? 0) / 2, { why: film.missing && "film missing" }) : null),
    element("div", { className: "film-about" },
      element("h2", { className: "film-name", title: film.location }, name),
      element("p", { className: "film-facts" }, facts.join(" · "),
        isDone ? null : element("span", { className: `badge ${film.state}` }, film.state)),
      film.reason ? element("p", { className: "problem" }, sentence(film.reason)) : null,
      film.missing ? element("p", { className: "problem" }, sentence(film.missing)) : null));
  if (isDone) {
    const strip = new Strip(film.id, { parts: 240, rows: action ? 1 : 5, action }, (seconds) => {
      location.hash = filmAddress(film.id, seconds);
    });
    line.append(strip.root);
    lazily(line, () => strip.load());
  }
  return line;
}

const begun = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    begun.get(target)?.();
  }
}, { rootMargin: "200px" });

function lazily(target, begin) {
  begun.set(target, begin);
  observer.observe(target);
}
