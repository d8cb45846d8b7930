// One event in the list: when, where, who, what, with its picture and, once asked for, its video in place.

import { pictureOfEvent, videoOfEvent } from "./api.js";
import { clock, make } from "./figures.js";
import { chipOf } from "./now.js";

const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
// A video may end a moment before the last picture.
const END_MARGIN_SECONDS = 0.1;

export class EventLine {
  event;
  recording = null;
  #player = null;
  #thumb = null;

  /** `onJump(stream)` shows a stream; `onPlay(line)` is called when the video or picture opens. */
  constructor(event, onJump, onPlay) {
    this.onPlay = onPlay;
    this.element = make("li", "event-line");
    this.element.dataset.id = event.id;
    this.#thumb = make("div", "event-thumb");
    const stream = make("button", "event-stream", event.stream);
    stream.type = "button";
    stream.title = `Show ${event.stream} live`;
    stream.addEventListener("click", () => onJump(event.stream));
    const place = make("div", "event-place");
    place.append(make("div", "event-when"), stream);
    this.element.append(this.#thumb, place, make("div", "event-what"), make("span", "event-now"));
    this.show(event);
  }

  /** The event as it was told last; the live event says nothing of the recording. */
  show(event) {
    if (this.event && this.event.number > event.number) return;
    this.event = event;
    this.element.dataset.state = event.state;
    this.element.dataset.number = event.number;
    this.element.querySelector(".event-when").replaceChildren(...timeOf(event));
    const what = this.element.querySelector(".event-what");
    what.replaceChildren(make("b", "event-rule", event.rule));
    if (event.person !== null) what.append(" ", chipOf(event.person));
    const score = event.action !== null ? ` ${event.peak_score.toFixed(2)}` : "";
    const said = [event.action !== null ? `${event.action}${score}` : "", event.zone ?? ""].filter(Boolean).join(" · ");
    if (said) what.append(make("span", "event-said quiet", said));
    what.title = `${event.rule}${said ? `: ${said}` : ""}`;
    this.element.querySelector(".event-now").textContent = event.state === "end" ? "" : "now";
    if (event.recording !== undefined) this.record(event.recording);
    else if (!this.#thumb.firstChild) this.record(null);
  }

  /** What there is of the recording; null for nothing. */
  record(recording) {
    const before = JSON.stringify(this.recording);
    this.recording = recording;
    if (this.#thumb.firstChild && before === JSON.stringify(recording)) return;
    if (this.#player) return; // what is being watched stays
    this.#thumb.replaceChildren(recording?.video || recording?.picture ? this.#button(recording) : make("span", "no-thumb"));
  }

  #button(recording) {
    const { event } = this;
    const button = make("button", "event-play");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    const verb = recording.video ? "Play" : "Show";
    button.setAttribute("aria-label", `${verb} ${event.rule} of ${event.stream}, ${textOf(event)}`);
    if (recording.picture) {
      const picture = make("img");
      picture.loading = "lazy";
      picture.decoding = "async";
      picture.alt = "";
      picture.width = 128;
      picture.height = 72;
      picture.addEventListener("error", () => picture.remove());
      picture.src = pictureOfEvent(event);
      button.append(picture);
    }
    if (recording.video) button.append(make("span", "play-mark"), make("small", "", clock(Math.round(recording.seconds))));
    button.addEventListener("click", () => (this.#player ? this.close() : this.open()));
    return button;
  }

  // The recording in place

  open() {
    const { event, recording } = this;
    this.onPlay(this);
    const player = (this.#player = make("div", "event-player"));
    if (recording.video) {
      const video = this.#video();
      player.append(video, this.#places(video));
    } else {
      const picture = make("img");
      picture.alt = `${event.rule}, ${textOf(event)}`;
      picture.src = pictureOfEvent(event);
      player.append(picture, this.#places(null));
    }
    this.element.append(player);
    this.#thumb.firstChild.setAttribute("aria-expanded", "true");
    player.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.close(true);
    });
    player.scrollIntoView({ block: "nearest" });
    player.firstChild.focus?.();
  }

  close(hasFocus = this.#player?.contains(document.activeElement)) {
    if (!this.#player) return;
    const video = this.#player.querySelector("video");
    if (video) {
      video.pause();
      // The connection ends only so.
      video.removeAttribute("src");
      video.load();
    }
    this.#player.remove();
    this.#player = null;
    const button = this.#thumb.firstChild;
    button.setAttribute("aria-expanded", "false");
    if (hasFocus) button.focus();
  }

  #video() {
    const { event, recording } = this;
    const video = make("video");
    Object.assign(video, { controls: true, playsInline: true, muted: true, preload: "auto" });
    video.setAttribute("aria-label", `${event.rule} of ${event.stream}, ${textOf(event)}`);
    if (recording.picture) video.poster = pictureOfEvent(event);
    video.src = videoOfEvent(event);
    video.addEventListener("error", () => {
      if (!video.hasAttribute("src")) return;
      const note = make("p", "problem", "The video cannot be played: it may have been deleted to make room.");
      video.replaceWith(note);
    });
    video.play().catch(() => {}); // the browser may want a click first
    return video;
  }

  /** Buttons that go to a moment of the event, and the file. */
  #places(video) {
    const { event, recording } = this;
    const bar = make("div", "event-places");
    const at = (seconds) => recording.before_seconds + seconds - event.start_seconds;
    const places = [["Start", at(event.start_seconds)]];
    if (event.action !== null) places.push(["Best moment", at(event.peak_seconds)]);
    places.push(["End", at(event.end_seconds)]);
    for (const [name, seconds] of video ? places : []) {
      const button = make("button", "", name);
      button.type = "button";
      button.title = `At ${clock(seconds)} of the video`;
      button.addEventListener("click", () => {
        const last = Number.isFinite(video.duration) ? video.duration - END_MARGIN_SECONDS : seconds;
        video.currentTime = Math.max(0, Math.min(seconds, last));
      });
      bar.append(button);
    }
    const file = make("a", "", video ? "Video file" : "Picture file");
    file.href = video ? videoOfEvent(event) : pictureOfEvent(event);
    file.download = "";
    const close = make("button", "", "Close");
    close.type = "button";
    close.addEventListener("click", () => this.close(true));
    bar.append(file, close);
    return bar;
  }
}

const isToday = (date) => day.format(date) === day.format(new Date());

function textOf(event) {
  return event.start_time === null ? clock(event.start_seconds) : timeOfDay.format(new Date(event.start_time));
}

/** Local time where the time of day is known, otherwise the stream's own; with how long it lasted. */
function timeOf(event) {
  const time = make("time", "event-time");
  const lasted = event.end_seconds - event.start_seconds;
  const length = make("small", "quiet", lasted < 60 ? `${+lasted.toFixed(1)} s` : clock(lasted));
  if (event.start_time === null) {
    time.textContent = clock(event.start_seconds);
    time.title = "The video's own time";
    return [time, length];
  }
  const start = new Date(event.start_time);
  time.dateTime = event.start_time;
  time.title = day.format(start);
  time.textContent = timeOfDay.format(start);
  const parts = [time, length];
  if (!isToday(start)) parts.unshift(make("small", "event-day quiet", day.format(start)));
  return parts;
}
