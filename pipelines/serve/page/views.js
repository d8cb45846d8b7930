// What the page shows: the live view, or one of the others in its place. The address says which, so that the browser's
// "back" leads to the one before.

const LIVE = "live";

export class Views {
  #views = new Map();
  #shown = LIVE;

  constructor() {
    window.addEventListener("hashchange", () => this.#follow());
  }

  /** `onShow(isShown)` is called whenever the view comes or goes. */
  add(name, button, section, onShow) {
    this.#views.set(name, { button, section, onShow });
    button.addEventListener("click", () => this.show(this.#shown === name ? LIVE : name));
  }

  get shown() {
    return this.#shown;
  }

  show(name = LIVE) {
    if (name === this.#shown) return;
    const hash = name === LIVE ? "" : `#${name}`;
    if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
    this.#apply(name);
  }

  /** As the address has it; to be called once all views are there. */
  begin() {
    this.#follow();
  }

  #follow() {
    const name = location.hash.slice(1);
    this.#apply(this.#views.has(name) ? name : LIVE);
  }

  #apply(name) {
    if (name === this.#shown) return;
    const before = this.#views.get(this.#shown);
    this.#shown = name;
    document.body.dataset.view = name;
    for (const [each, { button, section }] of this.#views) {
      section.hidden = each !== name;
      button.setAttribute("aria-expanded", String(each === name));
    }
    before?.onShow(false);
    window.scrollTo(0, 0);
    const now = this.#views.get(name);
    now?.section.querySelector(".view-title").focus({ preventScroll: true });
    now?.onShow(true);
  }
}
