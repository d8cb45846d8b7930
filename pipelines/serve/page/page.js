// The page: one connection for the events of all streams, the list of streams every two seconds, a card for each.

import { Feed, Refused, addStream, getInfo, getStreams, removeStream } from "./api.js";
import { Card } from "./card.js";
import { Events } from "./events.js";
import { scoreGradient } from "./colours.js";
import { History, ServerClock, setMinScore } from "./history.js";
import { Now } from "./now.js";
import { Pictures } from "./pictures.js";
import { Views } from "./views.js";
import { Zones } from "./zones.js";

const LIST_MS = 2000;
const SOON_MS = 150;
const LISTS_TO_INFO = 10;
const DRAW_MS = 100;

const byId = (id) => document.getElementById(id);
const clock = new ServerClock();
const histories = new Map();
const cards = new Map();
const pictures = new Pictures();
const now = new Now();
const views = new Views();
const events = new Events((id) => {
  views.show();
  cards.get(id)?.element.scrollIntoView({ block: "start" });
});
let zonesFound = [];
const zones = new Zones((found) => {
  zonesFound = found;
  cards.forEach((card) => card.showZones(zonesFound));
});
views.add("history", byId("open-events"), byId("events"), (isShown) => events.open(isShown));
views.add("zones", byId("open-zones"), byId("zones"), (isShown) => zones.open(isShown));
/** Stream → when it was removed: a list asked for earlier may still hold it. */
const removedAt = new Map();
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
let hop = 1;
let isAway = null;
let isEmpty = true;
let hasInfo = false;
let lists = 0;
let listTimer = 0;
let shownFrom = 0;

function historyOf(id) {
  if (!histories.has(id)) histories.set(id, new History(clock));
  return histories.get(id);
}

// Events

const feed = new Feed(
  () => {
    for (const history of histories.values()) history.clear();
  },
  (kind, data) => {
    const { stream } = data;
    if (kind === "removed") {
      drop(stream);
      return;
    }
    if (kind === "event") {
      events.add(data);
      return;
    }
    if (kind === "recording") {
      events.record(data.id, data.recording);
      return;
    }
    const history = historyOf(stream);
    const card = cards.get(stream);
    if (kind === "result") {
      history.add(data);
      if (card) {
        card.showResult();
        now.show(card);
        if (calm.matches) card.draw();
      } else listSoon();
      return;
    }
    history.mark(kind);
    history.lastEvent = [kind, data];
    card?.showEvent(kind, data);
    listSoon();
  },
);

// The list of streams

async function list() {
  clearTimeout(listTimer);
  const askedAt = performance.now();
  try {
    // The rules, and whether all is recorded, may change while the server runs.
    if (!hasInfo || lists % LISTS_TO_INFO === 0) {
      showInfo(await getInfo());
      await zones.load();
    }
    lists += 1;
    const { streams, date } = await getStreams();
    clock.heard(date);
    events.heard(date);
    // Two may be under way at once, and the earlier one may come in later.
    if (askedAt >= shownFrom) {
      shownFrom = askedAt;
      showStreams(streams.filter(({ id }) => !(removedAt.get(id) >= askedAt)));
    }
    setAway("");
  } catch (error) {
    setAway(error instanceof Refused ? error.message : "The server does not answer; trying again …");
  }
  // Another call may have set it meanwhile.
  clearTimeout(listTimer);
  if (!document.hidden) listTimer = setTimeout(list, LIST_MS);
}

function listSoon() {
  clearTimeout(listTimer);
  if (!document.hidden) listTimer = setTimeout(list, SOON_MS);
}

function showStreams(streams) {
  const ids = new Set(streams.map(({ id }) => id));
  for (const id of [...cards.keys()]) if (!ids.has(id)) drop(id);
  if (streams.some(({ id }) => !cards.has(id))) zones.load();
  for (const status of streams) {
    if (!cards.has(status.id)) addCard(status.id);
    const card = cards.get(status.id);
    card.show(status, hop);
    now.show(card);
  }
  events.setStreams([...ids]);
  zones.setStreams(streams);
  showCount();
  pictures.update();
}

function addCard(id) {
  const history = historyOf(id);
  const card = new Card(id, history);
  card.onRemove = async () => {
    await removeStream(id);
    drop(id);
  };
  cards.set(id, card);
  byId("grid").append(card.element);
  now.add(card);
  // An event may come before the stream is in the list.
  if (history.lastEvent) card.showEvent(...history.lastEvent);
  card.showZones(zonesFound);
  card.showResult();
  card.draw();
  pictures.add(card);
}

function drop(id) {
  removedAt.set(id, performance.now());
  histories.delete(id);
  const card = cards.get(id);
  if (!card) return;
  cards.delete(id);
  pictures.remove(card);
  now.remove(card);
  card.element.remove();
  showCount();
}

function showCount() {
  const count = cards.size;
  byId("count").textContent = count ? `${count} ${count === 1 ? "stream" : "streams"}` : "";
  byId("grid").dataset.count = count;
  byId("empty").hidden = count > 0;
  byId("legend").hidden = count === 0;
  const form = byId("add");
  if (!count) openForm(true);
  // Somebody else has added the first stream: the form makes room, unless it is being filled in.
  else if (isEmpty && !form.elements.source.value && !form.contains(document.activeElement)) openForm(false);
  isEmpty = !count;
  document.title = count ? `memvit · ${count} ${count === 1 ? "stream" : "streams"}` : "memvit";
}

function showInfo(info) {
  hop = info.hop_seconds;
  byId("archive-link").hidden = !info.archive;
  const [model, digest] = info.model.split(" ");
  byId("model").textContent = model;
  byId("model").title = `${digest ? `weights ${digest}, ` : ""}${info.classes.length} actions, memvit ${info.version}`;
  byId("hop").textContent = `${+hop.toFixed(2)} s`;
  setMinScore(info.min_score);
  byId("scale").style.background = scoreGradient;
  byId("min-score").textContent = `score ${info.min_score}`;
  byId("reads").textContent = memoryText(info);
  byId("facts").hidden = false;
  events.setInfo(info);
  hasInfo = true;
}

function memoryText({ memory_reads: reads, memory_slots: slots }) {
  if (slots) return `all clips before, in ${slots} slots`;
  return reads.length ? `${reads.join(", ")} clips back` : "none";
}

/** `sentence` says why there is nothing new; empty when all is well. */
function setAway(sentence) {
  const banner = byId("away");
  banner.textContent = sentence;
  banner.hidden = !sentence;
  document.body.classList.toggle("is-away", Boolean(sentence));
  const wasAway = isAway;
  isAway = Boolean(sentence);
  if (isAway) hasInfo = false; // another server may answer next
  if (wasAway !== isAway) {
    // A server that was away may have been started again: all events are fetched from the beginning.
    if (isAway) feed.close();
    else if (!document.hidden) feed.open();
  }
  pictures.isOn = !isAway && !document.hidden;
}

// The form

function openForm(isOpen) {
  byId("add").hidden = !isOpen;
  byId("open-add").setAttribute("aria-expanded", String(isOpen));
}

byId("open-add").addEventListener("click", () => {
  openForm(views.shown !== "live" || byId("add").hidden);
  views.show();
  if (!byId("add").hidden) byId("add").elements.source.focus();
});

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button.main");
  const problem = byId("problem");
  const { source, id, realtime } = form.elements;
  problem.textContent = "";
  button.disabled = true;
  try {
    const name = id.value.trim();
    await addStream({ source: source.value.trim(), realtime: realtime.checked, ...(name && { id: name }) });
    source.value = id.value = "";
    await list();
    openForm(false);
  } catch (error) {
    problem.textContent = error instanceof Refused ? error.message : "The server does not answer.";
  } finally {
    button.disabled = false;
    if (!form.hidden) source.focus();
  }
});

// A page that nobody sees costs the server nothing.
document.addEventListener("visibilitychange", () => {
  pictures.isOn = !isAway && !document.hidden;
  if (document.hidden) {
    clearTimeout(listTimer);
    feed.close();
  } else {
    if (!isAway && !feed.isOpen) feed.open();
    list();
  }
});

setInterval(() => {
  if (document.hidden || isAway || calm.matches) return;
  cards.forEach((card) => card.isVisible && card.draw());
}, DRAW_MS);
window.addEventListener("resize", () => cards.forEach((card) => card.draw()));

views.begin();
list();
