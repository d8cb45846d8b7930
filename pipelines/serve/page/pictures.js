// Which cards show pictures. The server draws only while somebody looks, and a browser has six connections to a host:
// one carries the events, one is for requests, so at most four carry pictures.

const MOST = 4;
const CLOSING_MS = 150;

export class Pictures {
  #cards = new Set();
  #chosen = new Map();
  #choices = 0;
  #timer = 0;
  #isOn = true;
  #observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "40px" });

  add(card) {
    this.#cards.add(card);
    this.#observer.observe(card.element);
    card.onShow = () => this.#choose(card, ++this.#choices);
    card.onHide = () => this.#choose(card, -1);
  }

  remove(card) {
    this.#observer.unobserve(card.element);
    this.#cards.delete(card);
    this.#chosen.delete(card);
    card.stopPicture();
    this.update();
  }

  /** Whether anybody can see the page, and the server is there. */
  set isOn(isOn) {
    if (this.#isOn === isOn) return;
    this.#isOn = isOn;
    this.update();
  }

  /** Give the connections to those that come first: chosen by hand, the last choice first, then as they stand. */
  update() {
    const rank = (card) => this.#chosen.get(card) ?? 0;
    const asking = [...this.#cards].filter(
      (card) => this.#isOn && card.hasPictures && rank(card) >= 0 && card.isVisible,
    );
    asking.sort((first, second) => rank(second) - rank(first) || second.isShowing - first.isShowing);
    const lucky = new Set(asking.slice(0, MOST));
    let closed = false;
    for (const card of this.#cards) {
      if (card.isShowing && !lucky.has(card)) {
        card.stopPicture();
        closed = true;
      }
      card.offerPicture(!lucky.has(card) && this.#isOn && card.hasPictures);
    }
    clearTimeout(this.#timer);
    const begin = () => {
      for (const card of lucky) if (!card.isShowing && this.#cards.has(card)) card.startPicture();
    };
    // The connections that were closed must be gone before others take their place.
    if (closed) this.#timer = setTimeout(begin, CLOSING_MS);
    else begin();
  }

  #choose(card, rank) {
    this.#chosen.set(card, rank);
    this.update();
  }

  #seen(entries) {
    const isSeen = new Map(entries.map(({ target, isIntersecting }) => [target, isIntersecting]));
    for (const card of this.#cards) card.isVisible = isSeen.get(card.element) ?? card.isVisible;
    this.update();
  }
}
