// Which events were looked at: the bell counts the others. The browser remembers it.

const KEY = "memvit.seen";
const MAX_IDS = 500;
// An event that began earlier than the newest one that was seen may be told later than that one.
export const LATE_SECONDS = 3600;

/** When an event began, in unix seconds; where the time of day is not known, when it was told. */
export const beganAt = (event) => (event.start_time ? Date.parse(event.start_time) / 1000 : (event.time_unix ?? 0));

export class Seen {
  #ids = [];
  #until = null;

  constructor() {
    this.#read();
    // Another window may have looked at them.
    window.addEventListener("storage", ({ key }) => {
      if (key !== KEY) return;
      this.#read();
      this.onChange();
    });
  }

  onChange = () => {};

  /** Whether nothing is remembered: this browser is here for the first time. */
  get isEmpty() {
    return this.#until === null;
  }

  /** Events that began earlier count as seen; unix seconds. */
  get from() {
    return (this.#until ?? 0) - LATE_SECONDS;
  }

  has(id) {
    return this.#ids.includes(id);
  }

  /** These were looked at; `now` is the server's time in unix seconds. */
  add(ids, now) {
    const known = new Set(this.#ids);
    this.#ids = [...this.#ids, ...ids.filter((id) => !known.has(id))].slice(-MAX_IDS);
    this.#until = Math.max(this.#until ?? 0, now);
    try {
      localStorage.setItem(KEY, JSON.stringify({ ids: this.#ids, until: this.#until }));
    } catch {
      // A browser that keeps nothing forgets it with the page.
    }
  }

  #read() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY));
      if (!Array.isArray(kept?.ids) || !Number.isFinite(kept.until)) return;
      this.#ids = kept.ids.filter((id) => typeof id === "string").slice(-MAX_IDS);
      this.#until = kept.until;
    } catch {
      // What is there is none of ours.
    }
  }
}
