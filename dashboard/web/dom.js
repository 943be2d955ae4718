// The only way in which this page makes elements. Names and errors come from
// the observed program's users: they only ever become text nodes and the values
// of harmless attributes, so markup in them stays text.

const svgNS = "http://www.w3.org/2000/svg";
const shown = Symbol("text"); // what an element shows, so that an equal text costs no DOM access

export const $ = (id) => document.getElementById(id);

// h makes an element; props are attributes, "on…" listeners and "class".
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.flat(Infinity).filter((c) => c != null && c !== false));
  return el;
}

// svg makes an element of a drawing.
export function svg(tag, props, ...children) {
  const el = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(props ?? {})) el.setAttribute(name, value);
  el.append(...children);
  return el;
}

// icon refers to a symbol in index.html. It never says anything alone: text, or
// a label, is beside it.
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

export function setIcon(el, name) {
  set(el.firstElementChild ?? el.appendChild(svg("use")), "href", `#i-${name}`);
}

// text replaces what el shows, if that is something else.
export function text(el, value) {
  if (el[shown] === value) return;
  el[shown] = value;
  el.textContent = value;
}

// set is the same for an attribute; null removes it.
export function set(el, name, value) {
  if (value == null || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== String(value)) {
    el.setAttribute(name, value);
  }
}

export function hide(el, hidden) {
  if (el.hidden !== hidden) el.hidden = hidden;
}

const mostShown = 400; // more than any line has room for
const mostTitle = 2000;

// theirs shows a text of a user: of any length and direction, or empty.
export function theirs(el, value, absent = "(no name)") {
  const s = value == null ? "" : String(value);
  if (el[shown] === s) return;
  el[shown] = s;
  el.textContent = s === "" ? absent : s.slice(0, mostShown);
  el.classList.toggle("absent", s === "");
  set(el, "dir", "auto"); // isolates it, too: an unfinished RTL run can't turn what follows
  set(el, "title", s === "" ? null : s.slice(0, mostTitle));
}

// keep makes the children of el those of the items, in that order: make(item)
// returns {el, …}, once for each key, and update(that, item) fills it. What
// stays is not touched, so focus and selection survive.
export function keep(el, items, keyOf, make, update) {
  const kept = (el[shown] ??= new Map());
  const seen = new Set();
  let at = el.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (seen.has(key)) continue;
    seen.add(key);
    let child = kept.get(key);
    if (!child) kept.set(key, (child = make(item)));
    if (child.el === at) at = at.nextElementSibling;
    else el.insertBefore(child.el, at);
    update(child, item);
  }
  for (const [key, child] of kept) {
    if (seen.has(key)) continue;
    child.el.remove();
    kept.delete(key);
  }
}
