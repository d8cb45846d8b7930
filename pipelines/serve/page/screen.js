// The pictures of one stream: as they come, the last one while none come, and the server's last one when it is over.

import { lastPictureOf, picturesOf } from "./api.js";

const RETRY_MS = 3000;
const MAX_HEIGHT = 1.4;

export class Screen {
  isOn = false;
  hasPicture = false;
  /** Called with the size of the picture. */
  onSize = () => {};
  #id;
  #card;
  #onPicture;
  #state = "connecting";
  #hasLast = false;
  #timer = 0;

  /** `onPicture()` is called when a stream that is over gets its picture. */
  constructor(id, card, onPicture) {
    this.#id = id;
    this.#card = card;
    this.#onPicture = onPicture;
  }

  #part(name) {
    return this.#card.querySelector(`.${name}`);
  }

  start() {
    const picture = this.#part("picture");
    this.isOn = true;
    picture.alt = `${this.#id} with boxes, actions and what memory reads`;
    picture.onload = () => {
      this.hasPicture = true;
      picture.hidden = false;
      this.#part("still").hidden = true;
      this.#fit(picture);
      this.say();
    };
    picture.onerror = () => {
      picture.hidden = true;
      this.#part("still").hidden = !this.hasPicture;
      this.#timer = setTimeout(() => (picture.src = picturesOf(this.#id)), RETRY_MS);
    };
    picture.src = picturesOf(this.#id);
    this.say();
  }

  /** Ends the connection; the last picture stays. */
  stop() {
    if (!this.isOn) return;
    this.isOn = false;
    clearTimeout(this.#timer);
    const picture = this.#part("picture");
    picture.onload = picture.onerror = null;
    this.#keep(picture);
    this.#part("still").hidden = !this.hasPicture;
    picture.hidden = true;
    picture.removeAttribute("src");
    this.say();
  }

  /** What the list of streams tells: whether the stream is over, and whether the server has a picture of it. */
  follow(isOver, hasPicture) {
    // The browser drops the picture of a broken connection: a copy is shown then.
    if (this.isOn) this.#keep(this.#part("picture"));
    if (!isOver) this.#hasLast = false;
    else if (hasPicture && !this.#hasLast) this.#fetchLast();
  }

  /** Says what it waits for. */
  say(state = this.#state) {
    this.#state = state;
    const words = this.isOn ? "Waiting for the first clip …" : state === "connecting" ? "Connecting …" : "";
    this.#part("screen-note").textContent = this.hasPicture ? "" : words;
    this.#card.dataset.pictures = this.isOn ? "on" : "off";
  }

  /** The last picture of a stream that is over, which this page may never have shown. */
  #fetchLast() {
    this.#hasLast = true;
    const picture = new Image();
    picture.addEventListener("load", () => {
      if (!this.#hasLast) return;
      this.hasPicture = true;
      this.#keep(picture);
      this.#part("still").hidden = false;
      this.#fit(picture);
      this.say();
      this.#onPicture();
    });
    picture.src = lastPictureOf(this.#id);
  }

  #keep(picture) {
    const still = this.#part("still");
    if (!picture.naturalWidth) return;
    still.width = picture.naturalWidth;
    still.height = picture.naturalHeight;
    still.getContext("2d").drawImage(picture, 0, 0);
  }

  /** The screen gets the shape of its picture. */
  #fit({ naturalWidth: width, naturalHeight: height }) {
    if (!width) return;
    this.onSize(width, height);
    this.#part("screen").style.aspectRatio = `${width} / ${Math.min(height, MAX_HEIGHT * width)}`;
  }
}
