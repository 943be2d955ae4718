// What is said of the attempt, or of the moment, that the pointer is at in the
// task stream.

import { $, h, icon, theirs } from "./dom.js";
import { age, clock, duration } from "./format.js";
import { classOf, iconOf, labelOf } from "./states.js";

export const goesOn = (attempt) => attempt.state === "running" || attempt.state === "blocked";

export function tipOfAttempt(a, now) {
  const name = h("b", { class: "name" });
  theirs(name, a.name);
  const time = goesOn(a) ? `for ${age(now - a.from)}` : `ran ${duration(a.to - a.from)}, from ${clock(a.from, true)}`;
  $("stream-tip").replaceChildren(
    name,
    h("p", { class: `stated ${classOf(a.state)}` }, icon(iconOf(a.state)), labelOf(a.state)),
    h("p", null, time),
    h("p", { class: "quiet" }, `task ${a.id} · attempt ${a.attempt} · worker ${a.worker}`),
  );
}

// wordsOf says the same to those who don't see it.
export function wordsOf(a) {
  const name = a.name || "(no name)";
  const time = duration(a.to - a.from);
  return `${name}, task ${a.id}, attempt ${a.attempt}, ${labelOf(a.state)}, ${time}, worker ${a.worker}`;
}

export function tipOfBand(t, lines) {
  const rows = lines.map((l) => {
    const name = h("span", { class: "name" });
    theirs(name, l.name);
    const mark = h("i", { class: "mark" });
    if (l.color) mark.style.backgroundColor = `var(${l.color})`;
    return h("p", null, l.color && mark, name, h("span", { class: "value" }, l.value));
  });
  $("stream-tip").replaceChildren(h("b", null, clock(t)), ...rows);
}
