// What is known of a stream's last minute, on the stream's own time.

export const WINDOW_SECONDS = 60;
// Bound of the results and marks of a stream that the page holds.
const MAX_HISTORY_SECONDS = 2 * WINDOW_SECONDS;
const MAX_ROWS = 6;
const ANCHORS = 20;

/** Actions with a lower score are not shown; the server says so. */
export let minScore = 0.3;
export const setMinScore = (score) => (minScore = score);

/** The server's clock in unix seconds, seen from here: nothing comes before it was sent, so the latest is the best. */
export class ServerClock {
  #skew = -Infinity;

  /** A time of the server that has just been received. */
  heard(unixSeconds) {
    if (Number.isFinite(unixSeconds)) this.#skew = Math.max(this.#skew, unixSeconds - local());
  }

  get now() {
    return local() + (Number.isFinite(this.#skew) ? this.#skew : 0);
  }
}

// Unlike Date.now() it never jumps.
const local = () => (performance.timeOrigin + performance.now()) / 1000;

/** The last results of a stream. */
export class History {
  results = [];
  /** Events that are no results, on the stream's time: {seconds, kind}. */
  marks = [];
  /** The last event that is not a result: [kind, data]. */
  lastEvent = null;
  received = 0;
  #anchors = [];
  /** Row → the person who has it. */
  #rows = [];
  #clock;

  constructor(clock) {
    this.#clock = clock;
  }

  get last() {
    return this.results.at(-1) ?? null;
  }

  clear() {
    this.results = [];
    this.marks = [];
    this.#anchors = [];
    this.#rows = [];
  }

  add(result) {
    const last = this.last;
    if (last && result.seconds === last.seconds && result.clip === last.clip) return;
    // A stream's time only grows: one that is earlier is of another life of the server.
    if (last && result.seconds <= last.seconds) this.clear();
    this.#clock.heard(result.time_unix);
    this.received += 1;
    result.entries = this.#entries(result);
    this.results.push(result);
    const arrived = result.time_unix - (result.latency?.seconds ?? 0);
    this.#anchors.push(result.span[1] - arrived);
    if (this.#anchors.length > ANCHORS) this.#anchors.shift();
    const oldest = result.seconds - MAX_HISTORY_SECONDS;
    while (this.results[0].seconds < oldest) this.results.shift();
    while (this.marks.length && this.marks[0].seconds < oldest) this.marks.shift();
  }

  /**
   * What a result says: {row, person, actions, shown} of each; `shown` are the actions that score enough. Every person
   * has a row, which another gets once they are gone; a box that is no person has none. A classifier of whole clips
   * has one row.
   */
  #entries({ people, actions = [] }) {
    const shownOf = (found) => found.filter(({ score }) => score >= minScore);
    if (!people) return actions.length ? [{ row: 0, person: null, actions, shown: shownOf(actions) }] : [];
    const known = people.filter(({ person }) => person != null);
    const here = new Set(known.map(({ person }) => person));
    const rows = this.#rows;
    for (const number of [...here].sort((first, second) => first - second)) {
      if (rows.includes(number)) continue;
      const free = rows.findIndex((owner) => !here.has(owner));
      if (free >= 0) rows[free] = number;
      else if (rows.length < MAX_ROWS) rows.push(number);
    }
    const rowOf = (person) => (rows.includes(person) ? rows.indexOf(person) : Infinity);
    return known
      .map(({ person, actions: found }) => ({ row: rowOf(person), person, actions: found, shown: shownOf(found) }))
      .sort((first, second) => first.row - second.row || first.person - second.person);
  }

  /** Events bear no time; what matters is after which clip they came. */
  mark(kind) {
    if (!this.last) return;
    const mark = { kind, seconds: this.last.span[1] };
    const before = this.marks.at(-1);
    if (before?.kind !== mark.kind || before.seconds !== mark.seconds) this.marks.push(mark);
  }

  /**
   * The stream's time at this instant. A live one's goes on while nothing comes; a file that is read as fast as it can
   * be has no other "now" than its last clip, and neither has what is over.
   */
  now(isRunning) {
    if (!this.last) return 0;
    if (!isRunning) return this.last.span[1];
    return Math.max(this.last.span[1], Math.max(...this.#anchors) + this.#clock.now);
  }

  /** Spans [from, to] without a result, between the first and the last of them. */
  gaps(hop) {
    const found = [];
    for (let index = 1; index < this.results.length; index += 1) {
      const before = this.results[index - 1];
      const after = this.results[index];
      if (after.missed || after.seconds - before.seconds > 1.5 * hop) {
        found.push([before.seconds + hop / 2, after.seconds - hop / 2]);
      }
    }
    return found;
  }

  /** Instants at which a session began, with empty memory. */
  sessions(hop) {
    return this.results
      .filter((result, index) => index && (result.session ?? 0) !== (this.results[index - 1].session ?? 0))
      .map((result) => result.seconds - hop / 2);
  }

  /** The result nearest to an instant, if it is a clip's. */
  at(seconds, hop) {
    let best = null;
    for (const result of this.results) {
      if (!best || Math.abs(result.seconds - seconds) < Math.abs(best.seconds - seconds)) best = result;
    }
    return best && Math.abs(best.seconds - seconds) <= hop ? best : null;
  }
}
