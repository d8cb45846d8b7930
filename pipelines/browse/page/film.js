// One film: it plays, with its strip, and tells who does what at this moment.

import { getFilm, getMoment, videoPath } from "./archive_api.js";
import { boxOf } from "./boxes.js";
import { colourOf } from "./colours.js";
import { address, clock, counted, element, nameOf, sentence } from "./dom.js";
import { actionChoice } from "./films.js";
import { labelButtons } from "./labels.js";
import { loop } from "./loops.js";
import { Strip } from "./strip.js";

const STRIP = { parts: 600, rows: 10 };
const CANNOT_PLAY = "This browser cannot play this film; pictures of it are shown instead.";
const MAX_HEIGHT = 62;

export async function showFilm(view, info, parameters, signal) {
  const id = parameters.get("id") ?? "";
  const begin = Math.max(0, Number(parameters.get("t")) || 0);
  view.replaceChildren(element("p", { className: "quiet" }, "Reading …"));
  let film;
  try {
    film = await getFilm(id);
  } catch (error) {
    if (!signal.aborted) view.replaceChildren(element("p", { className: "empty" }, `${sentence(error.message)} `, element("a", { href: address("films") }, "All films")));
    return;
  }
  if (!signal.aborted) new Film(view, info, film, begin, parameters.has("t"), signal);
}

class Film {
  #film;
  #signal;
  #seconds;
  #video = null;
  #boxes = element("div", { className: "boxes" });
  #screen = element("div", { className: "film-screen" });
  #note = element("p", { className: "quiet film-note", role: "status" });
  #moment = element("section", { className: "moment", "aria-label": "This moment" });
  #asking = null;
  #shownSecond = null;
  #strip;

  constructor(view, info, film, begin, isToPlay, signal) {
    this.#film = film;
    this.#signal = signal;
    this.#seconds = begin;
    const facts = [film.seconds === null ? null : clock(film.seconds), film.persons === null ? null : counted(film.persons, "person", "people")];
    const stripBox = element("div", { className: "film-strip" });
    const makeStrip = (action) => {
      this.#strip = new Strip(film.id, { parts: STRIP.parts, rows: action ? 1 : STRIP.rows, action }, (seconds) => this.play(seconds));
      stripBox.replaceChildren(this.#strip.root);
      this.#strip.load().then(() => this.#strip.playing(this.#seconds));
    };
    const choice = actionChoice(info, "", "most frequent", { onchange: () => makeStrip(choice.value) });
    view.replaceChildren(
      element("div", { className: "film-top" },
        element("h2", { title: film.location }, nameOf(film.name)),
        element("p", { className: "quiet" }, facts.filter(Boolean).join(" · "))),
      element("div", { className: "film-view" },
        element("div", { className: "film-left" }, this.#screen, this.#note, stripBox,
          film.state === "done" ? element("label", { className: "strip-choice" }, "Actions shown", choice) : null),
        this.#moment));
    if (film.state !== "done") {
      this.#note.textContent = film.reason || `This film is ${film.state} in the archive.`;
      return;
    }
    makeStrip("");
    if (film.missing) this.#showPictures(sentence(film.missing));
    else this.#showVideo(isToPlay);
    this.#look(begin);
    signal.addEventListener("abort", () => this.#video?.pause());
  }

  /** Plays from a time; a film that cannot be played shows pictures of it. */
  play(seconds) {
    this.#seconds = seconds;
    history.replaceState(null, "", address("film", { id: this.#film.id, t: seconds.toFixed(2) }));
    if (this.#video) {
      this.#video.currentTime = seconds;
      this.#video.play().catch(() => {});
    } else {
      if (!this.#film.missing) this.#showPictures(this.#note.textContent);
      this.#strip.playing(seconds);
    }
    this.#look(seconds);
  }

  #showVideo(isToPlay) {
    // Without sound it may begin by itself.
    const video = element("video", { controls: true, muted: true, playsInline: true, preload: "metadata", "aria-label": this.#film.name });
    this.#video = video;
    video.addEventListener("loadedmetadata", () => {
      if (!video.videoWidth) return this.#cannotPlay();
      this.#screen.style.width = `min(100%, ${(MAX_HEIGHT * video.videoWidth) / video.videoHeight}vh)`;
      video.currentTime = this.#seconds;
      if (isToPlay) video.play().catch(() => {});
    });
    video.addEventListener("error", () => this.#cannotPlay());
    video.addEventListener("timeupdate", () => this.#moved(video.currentTime));
    video.addEventListener("seeked", () => this.#moved(video.currentTime));
    video.src = videoPath(this.#film.id);
    this.#screen.replaceChildren(video, this.#boxes);
  }

  #cannotPlay() {
    if (!this.#video || this.#signal.aborted) return;
    this.#video = null;
    this.#showPictures(CANNOT_PLAY);
  }

  #showPictures(words) {
    this.#note.textContent = words;
    this.#screen.style.width = "min(100%, 640px)";
    if (this.#film.missing) this.#screen.replaceChildren();
    else this.#screen.replaceChildren(loop(this.#film.id, this.#seconds, { size: "large" }));
  }

  #moved(seconds) {
    this.#seconds = seconds;
    this.#strip.playing(seconds);
    this.#look(seconds);
  }

  /** Asks what is there at a time, once a second of the film, and only for the last time asked about. */
  async #look(seconds) {
    const second = Math.round(seconds);
    if (second === this.#shownSecond) return;
    this.#shownSecond = second;
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      const moment = await getMoment(this.#film.id, seconds, asking.signal);
      if (!this.#signal.aborted) this.#showMoment(moment);
    } catch (error) {
      if (error.name === "AbortError" || this.#signal.aborted) return;
      this.#moment.replaceChildren(element("p", { className: "quiet" }, error.message));
      this.#boxes.replaceChildren();
    }
  }

  #showMoment({ seconds, people, actions }) {
    const here = { video: this.#film.id, seconds };
    const like = (person, isPeople, words) =>
      element("a", { href: address("like", { film: here.video, seconds, person, people: isPeople ? "true" : "" }) }, words);
    const list = element("ul", { className: "moment-people" }, (people ?? []).map((one) => {
      const who = one.person === null ? "nobody known" : `person ${one.person}`;
      const isKnown = one.person !== null || people.length === 1;
      return element("li", { className: "moment-person" },
        chip(one.person, who), actionList(one.actions),
        element("div", { className: "result-actions" },
          one.person === null ? null : labelButtons({ ...here, person: one.person }, `${who} at ${clock(seconds)}`),
          isKnown ? like(one.person, true, "More like this person") : null));
    }));
    const isEmpty = people !== null && !people.length;
    this.#moment.replaceChildren(
      element("h3", {}, `At ${clock(seconds)}`),
      actions ? actionList(actions) : null ?? "",
      isEmpty ? element("p", { className: "quiet" }, "Nobody is there.") : list,
      element("div", { className: "moment-whole" },
        people === null ? null : element("span", { className: "quiet" }, "The whole clip"),
        labelButtons({ ...here, person: null }, `the moment ${clock(seconds)}`),
        like(null, false, "More like this moment")));
    this.#boxes.replaceChildren(...(people ?? []).map(boxOf));
  }
}

function chip(person, words) {
  const made = element("b", { className: "chip" }, words);
  made.style.setProperty("--who", person === null ? "var(--nobody)" : colourOf(person));
  return made;
}

const actionList = (actions) =>
  element("ul", { className: "moment-actions" }, actions.map(({ action, score }) =>
    element("li", {}, element("span", {}, action), element("b", {}, score.toFixed(2)))));
