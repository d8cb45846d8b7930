// The colours of the page and of the server's pictures, which /page/colours.css has as custom properties.
// Those that begin with `drawn` are the same on a light page.

const styles = getComputedStyle(document.documentElement);
const valueOf = (name) => styles.getPropertyValue(`--${name}`).trim();
const PEOPLE = valueOf("people").split(" ");
const SCORES = valueOf("scores").split(" ");

export const GROUND = valueOf("drawn-ground");
export const INK = valueOf("drawn-ink");
export const PAPER = valueOf("drawn-paper");
export const MUTED = valueOf("drawn-muted");
export const MEMORY = valueOf("drawn-memory");
export const PRESENT = valueOf("drawn-present");

/** The colour of a person by the number, from 1, or from 0 where a file gives the numbers. */
export const colourOf = (person) => PEOPLE[(person + PEOPLE.length - 1) % PEOPLE.length];

/** The colour of a score: 0 is the background, 1 is the brightest. */
export function scoreColour(score) {
  const place = Math.min(Math.max(score, 0), 1) * (SCORES.length - 1);
  return SCORES[Math.round(place)];
}

/** The scale from 0 to 1 as a background. */
export const scoreGradient = `linear-gradient(to right, ${SCORES.join(", ")})`;
