// The page: which view is shown is in the address after "#".

import { getInfo } from "./archive_api.js";
import { showFilm } from "./film.js";
import { showFilms } from "./films.js";
import { labels } from "./labels.js";
import { showSearch, showSimilar } from "./results.js";
import { showSuggestions } from "./suggest.js";

const VIEWS = { films: showFilms, search: showSearch, like: showSimilar, film: showFilm, label: showSuggestions };
const view = document.getElementById("view");
const away = document.getElementById("away");
let info = null;
let shown = new AbortController();

function show() {
  const [name, text = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const kind = name in VIEWS ? name : "films";
  shown.abort();
  shown = new AbortController();
  for (const tab of ["films", "search", "label"]) {
    const link = document.getElementById(`tab-${tab}`);
    const isHere = tab === kind || (tab === "search" && kind === "like") || (tab === "films" && kind === "film");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = kind;
  window.scrollTo(0, 0);
  VIEWS[kind](view, info, new URLSearchParams(text), shown.signal);
}

async function begin() {
  try {
    info = await getInfo();
    await labels.load(info.labels, document.getElementById("labels-note"));
  } catch (error) {
    away.textContent = error.message;
    away.hidden = false;
    return;
  }
  document.getElementById("tab-label").hidden = !info.labels;
  document.getElementById("store-name").textContent = info.name;
  document.title = `${info.name} · memvit archive`;
  window.addEventListener("hashchange", show);
  show();
}

begin();
