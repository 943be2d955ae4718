// Light or dark, and the colours for what is drawn on canvases. The style sheet
// is the only place that knows colours; a probe resolves its properties.

import { $, set, setIcon } from "./dom.js";

const place = "antflow-theme";
const order = ["auto", "light", "dark"];
const names = { auto: "as the system", light: "light", dark: "dark" };
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];
let resolved = new Map();

// color is the value of a colour property such as "--c-failed".
export function color(property) {
  let value = resolved.get(property);
  if (!value) {
    const probe = $("probe");
    probe.style.color = `var(${property})`;
    value = getComputedStyle(probe).color;
    resolved.set(property, value);
  }
  return value;
}

export const namedColors = 8;

// colorProperty is that of the n-th name; those after the first few share one.
export const colorProperty = (n) => (n >= 0 && n < namedColors ? `--n${n}` : "--n-other");
export const nameColor = (n) => color(colorProperty(n));

// onTheme has fn called when the colours have become others.
export const onTheme = (fn) => listeners.push(fn);

function changed() {
  resolved = new Map();
  for (const fn of listeners) fn();
}

// Storage may be forbidden; the choice then lasts as long as the page.
function stored() {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}

function apply(choice) {
  set(document.documentElement, "data-theme", choice === "auto" ? null : choice);
  const button = $("theme");
  setIcon(button.firstElementChild, `theme-${choice}`);
  set(button, "aria-label", `Colours: ${names[choice]}`);
  set(button, "title", `Colours: ${names[choice]}`);
  changed();
}

export function startTheme() {
  let choice = order.includes(stored()) ? stored() : "auto";
  apply(choice);
  dark.addEventListener("change", changed);
  $("theme").addEventListener("click", () => {
    choice = order[(order.indexOf(choice) + 1) % order.length];
    try {
      localStorage.setItem(place, choice);
    } catch {
      /* see stored */
    }
    apply(choice);
  });
}
