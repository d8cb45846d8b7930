// The bell: how many events began that nobody has looked at in this browser.

import { getHistory } from "./api.js";
import { Seen, beganAt } from "./seen.js";

const MAX_COUNTED = 100;

export class Bell {
  #button;
  #badge;
  #seen = new Seen();
  #unseen = new Set();
  #now = null;
  #isOpen = false;

  constructor(button, badge) {
    this.#button = button;
    this.#badge = badge;
    this.#seen.onChange = () => {
      for (const id of this.#unseen) if (this.#seen.has(id)) this.#unseen.delete(id);
      this.#show();
    };
  }

  /** The server's time in unix seconds; the first time, it asks for the events since the last look. */
  async heard(seconds) {
    if (!Number.isFinite(seconds)) return;
    const isFirst = this.#now === null;
    this.#now = seconds;
    if (!isFirst) return;
    const isEmpty = this.#seen.isEmpty;
    const from = isEmpty ? {} : { from: new Date(this.#seen.from * 1000).toISOString() };
    try {
      const { events } = await getHistory({ ...from, limit: 500 });
      // Whoever is here for the first time has missed nothing.
      if (isEmpty) this.#seen.add(events.map(({ id }) => id).reverse(), seconds);
      else if (!this.#isOpen) events.forEach((event) => this.#note(event.id));
    } catch {
      this.#now = null; // it is tried again with the next list
    }
    this.#show();
  }

  /** An event is told, for the first time or once more. */
  add(event) {
    if (this.#isOpen) this.see([event]);
    else if (event.state === "new" && beganAt(event) >= this.#seen.from && this.#now !== null) this.#note(event.id);
    this.#show();
  }

  /** These events are on the screen. */
  see(events) {
    if (!events.length || this.#now === null) return;
    this.#seen.add(events.map(({ id }) => id), this.#now);
  }

  /** Whether the list of events is open; all that began before counts as seen then. */
  set isOpen(isOpen) {
    this.#isOpen = isOpen;
    if (!isOpen) return;
    if (this.#now !== null) this.#seen.add([...this.#unseen], this.#now);
    this.#unseen.clear();
    this.#show();
  }

  #note(id) {
    if (!this.#seen.has(id) && this.#unseen.size < MAX_COUNTED) this.#unseen.add(id);
  }

  #show() {
    const count = this.#unseen.size;
    const words = count < MAX_COUNTED ? String(count) : `${MAX_COUNTED - 1}+`;
    this.#badge.hidden = !count;
    this.#badge.textContent = words;
    this.#button.setAttribute("aria-label", count ? `History, ${words} new ${count === 1 ? "event" : "events"}` : "History");
    this.#button.title = count ? `${words} new ${count === 1 ? "event" : "events"}` : "";
  }
}
