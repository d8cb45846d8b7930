// Cards of moments: a short loop that plays the film from there, who and when, and buttons for labels.

import { address, clock, element, filmAddress, nameOf } from "./dom.js";
import { labelButtons } from "./labels.js";
import { loop } from "./loops.js";

export function intervalCard(one, info, mergeSeconds) {
  const { video, person, start_seconds: start, end_seconds: end } = one;
  // The middle of consecutive clips is a clip; between merged ones there may be none.
  const steps = mergeSeconds > 0 ? 0 : Math.floor((end - start) / info.hop_seconds / 2 + 1e-6);
  const seconds = start + steps * info.hop_seconds;
  const when = end > start ? `${clock(start)} to ${clock(end)}` : clock(start);
  return card({ video, person, seconds, playFrom: Math.max(0, start - 1), when, score: one.peak_score, people: person !== null });
}

export const momentCard = ({ video, person, seconds, similarity }, people) =>
  card({ video, person, seconds, playFrom: Math.max(0, seconds - 1), when: clock(seconds), score: similarity, people });

/** What the labels are to say of a moment; `score` is null where there is no head yet. */
export const questionCard = ({ video, person, seconds, score }, reads) =>
  card({ video, person, seconds, playFrom: Math.max(0, seconds - 1), when: clock(seconds), score, people: reads === "people" });

function card({ video, person, seconds, playFrom, when, score, people }) {
  const who = person === null ? "" : `person ${person}`;
  const subject = `${video}, ${when}${who && `, ${who}`}`;
  const made = element("li", { className: "result", "data-film": video },
    element("a", { className: "result-picture", href: filmAddress(video, playFrom), "aria-label": `Play ${subject}` }, loop(video, seconds, { person })),
    element("p", { className: "result-film", title: video }, nameOf(video)),
    element("p", { className: "result-facts" }, element("span", {}, [when, who].filter(Boolean).join(" · ")), score === null ? null : element("b", {}, score.toFixed(2))),
    element("div", { className: "result-actions" },
      labelButtons({ video, seconds, person }, subject, () => made.classList.toggle("is-skipped")),
      element("a", { href: address("like", { film: video, seconds, person, people: people ? "true" : "" }) }, "More like this")));
  return made;
}
