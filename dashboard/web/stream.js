// The task stream: what ran when. It has a lane for each worker, or bands where
// there would be too many; what is under the pointer, or chosen by the arrow
// keys, is told in words; and a table has the same attempts.

import { $, h, hide, keep, set, setIcon, svg, text, theirs } from "./dom.js";
import { clock, count, duration, plural } from "./format.js";
import { Table } from "./table.js";
import { change, go } from "./route.js";
import { colorProperty, namedColors, onTheme } from "./theme.js";
import { classOf, labelOf } from "./states.js";
import { drawLanes, laneHeight } from "./lanes.js";
import { bandAt, bandHeight, bandRows, drawBands } from "./bands.js";
import { paintState } from "./workers.js";
import { goesOn, tipOfAttempt, tipOfBand, wordsOf } from "./tip.js";

const mostLanes = 64;
const gutter = 34,
  axis = 20,
  edge = 6,
  head = 4;
const redraw = 200; // ms; the data comes four times a second
const slack = 3; // px that the pointer may be off

export class Stream {
  constructor(app) {
    this.app = app;
    this.host = $("stream");
    this.canvas = $("stream-canvas");
    this.context = this.canvas.getContext("2d");
    this.seen = true;
    this.drawn = 0;
    new ResizeObserver(([entry]) => {
      this.width = Math.floor(entry.contentRect.width);
      this.again();
    }).observe(this.host);
    new IntersectionObserver((entries) => {
      this.seen = entries.at(-1).isIntersecting; // a busy page is told of several at once
      this.again();
    }).observe(this.host.parentElement); // the host is hidden while the table is shown
    onTheme(() => this.again());
    this.host.addEventListener("pointermove", (e) => this.point(e));
    this.host.addEventListener("pointerleave", () => this.choose(null));
    this.host.addEventListener("click", () => this.open());
    this.host.addEventListener("keydown", (e) => this.key(e));
    this.host.addEventListener("blur", () => this.choose(null));
    for (const input of $("stream-span").querySelectorAll("input"))
      input.addEventListener("change", () => this.again());
    setIcon($("stream-toggle").firstElementChild, "table");
    $("stream-toggle").addEventListener("click", () => this.flip());
  }

  again() {
    this.drawn = 0;
    this.app.refresh();
  }

  show(source, wanted) {
    if (this.source?.index !== source.index) {
      this.choose(null);
      this.held = 0;
    }
    this.source = source;
    this.wanted = wanted;
    this.drawn = 0;
  }

  // filter is what the search below asks for, or null; the rest is drawn faintly.
  // A search for an error's text says nothing here, where errors aren't known.
  filter(source) {
    const { state, name } = this.wanted;
    const q = this.wanted.q.toLowerCase();
    const known = q && (source.spans.names.some((n) => n.toLowerCase().includes(q)) || source.spans.has(Number(q)));
    if (!state && !name && !known) return null;
    return (n, s, id) =>
      (!name || n === name) && (!state || s === state) && (!known || String(id) === q || n.toLowerCase().includes(q));
  }

  render(source, now) {
    if (!this.seen || (now - this.drawn < redraw && now >= this.drawn)) return;
    this.drawn = now;
    this.now = now;
    this.span = 1000 * Number($("stream-span").querySelector("input:checked").value);
    this.from = now - this.span;
    const lanes = this.laneCount(source);
    this.banded = lanes > mostLanes;
    // Blocked tasks have lanes of their own for a while. Once there, a lane stays,
    // or all that is below would jump under the pointer.
    this.held = this.banded ? 0 : Math.max(lanes, this.held);
    this.lanes = this.banded ? lanes : this.held;
    this.showLegend(source);
    this.showNote(source);
    if (!$("stream-twin").hidden) this.showTwin(source);
    else if (this.width > 0) this.draw(source);
  }

  laneCount(source) {
    let top = (source.figures?.max ?? 0) - 1;
    for (const w of source.workers.rows) if (w.w > top) top = w.w;
    source.spans.back(this.from, (i) => {
      if (source.spans.worker[i] > top) top = source.spans.worker[i];
    });
    return Math.max(1, top + 1);
  }

  draw(source) {
    const lane = laneHeight(this.lanes);
    const inner = this.banded ? bandHeight : this.lanes * lane;
    const height = head + inner + axis;
    const ratio = devicePixelRatio || 1;
    const { canvas, context: c } = this;
    if (this.sized !== `${this.width} ${height} ${ratio}`) {
      this.sized = `${this.width} ${height} ${ratio}`;
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.height = `${height}px`;
    }
    const right = this.width - edge;
    const scale = (right - gutter) / this.span;
    this.view = {
      c,
      source,
      lane,
      right,
      left: gutter,
      inner,
      height,
      lanes: this.lanes,
      width: this.width,
      from: this.from,
      now: this.now,
      span: this.span,
      chosen: this.chosen,
      x: (t) => gutter + (t - this.from) * scale,
      t: (x) => this.from + (x - gutter) / scale,
      matches: this.filter(source),
    };
    c.setTransform(ratio, 0, 0, ratio, 0, head * ratio);
    c.clearRect(0, -head, this.width, height);
    if (this.banded) drawBands(this.view, this.pointed);
    else drawLanes(this.view);
    if (this.chosen || this.pointed) this.showTip();
  }

  showLegend(source) {
    const names = source.names
      .map((n) => n.name)
      .filter((name) => source.colorOf(name) >= 0)
      .slice(0, namedColors)
      .sort((a, b) => source.colorOf(a) - source.colorOf(b));
    const rows = names.map((name) => ({ key: `n ${name}`, name, color: colorProperty(source.colorOf(name)) }));
    if (source.names.length > names.length)
      rows.push({ key: "rest", name: `${count(source.names.length - names.length)} other`, color: "--n-other" });
    for (const state of ["failed", "retrying", "blocked"])
      rows.push({ key: `s ${state}`, name: labelOf(state).toLowerCase(), state });
    keep(
      $("stream-legend"),
      rows,
      (r) => r.key,
      (r) => {
        const mark = r.state ? stateMark(r.state) : h("i", { class: "mark", "aria-hidden": "true" });
        const label = h("span", { class: "key" });
        return { el: h("li", null, mark, label), mark, label };
      },
      (row, r) => {
        if (!r.state) row.mark.style.backgroundColor = `var(${r.color})`;
        theirs(row.label, r.name);
      },
    );
  }

  showNote(source) {
    const part = source.spans.sampled(this.from);
    const parts = [this.banded ? `${plural(this.lanes, "worker")}, in bands` : "a lane for each worker"];
    if (part < 0.995) parts.push(`a sample of 1 in ${count(Math.max(2, Math.round(1 / part)))}`);
    if (source.figures?.lost > 0) parts.push(`${plural(source.figures.lost, "event")} missed`);
    text($("stream-note"), parts.join(" · "));
  }

  // point finds what is under the pointer.
  point(e) {
    if (!this.view) return;
    const box = this.canvas.getBoundingClientRect();
    this.pointer = { x: e.clientX - box.left, y: e.clientY - box.top - head };
    const { view } = this;
    const t = view.t(this.pointer.x);
    if (this.pointer.x < gutter || this.pointer.x > view.right || this.pointer.y > view.inner) this.choose(null);
    else if (this.banded) this.choose(null, t);
    else
      this.choose(this.find(Math.floor(this.pointer.y / view.lane), t, slack * (view.span / (view.right - gutter))));
  }

  // find is the attempt of a worker at a time, or one no more than near away.
  find(worker, t, near) {
    const { source } = this.view;
    for (const w of source.workers.rows) if (w.w === worker && t >= w.since - near) return running(w, this.now);
    let best = -1,
      off = near;
    const { spans } = source;
    spans.back(Math.max(this.from, t - near), (i, n) => {
      if (spans.worker[i] !== worker || spans.from[i] > t + near) return;
      const d = Math.max(0, spans.from[i] - t, t - spans.to[i]);
      if (d < off || (d === off && best < 0)) [best, off] = [n, d];
    });
    return best >= 0 ? spans.at(best) : null;
  }

  choose(attempt, pointed = null) {
    const same =
      attempt?.id === this.chosen?.id && attempt?.attempt === this.chosen?.attempt && pointed === this.pointed;
    if (same) return;
    this.chosen = attempt;
    this.pointed = pointed;
    this.host.classList.toggle("over", attempt != null);
    if (attempt == null && pointed == null) hide($("stream-tip"), true);
    this.again();
  }

  open() {
    if (this.chosen) go(change(this.app.route, { task: this.chosen.id }));
  }

  // key walks: left and right along a worker, up and down between them.
  key(e) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
    if (e.key === "Enter") this.open();
    if (e.key === "Escape" && this.chosen) {
      e.stopPropagation();
      this.choose(null);
    }
    if (!step || !this.view) return;
    e.preventDefault();
    this.pointer = null;
    if (this.banded) {
      const by = (this.span / 30) * (step[1] || -step[0]);
      this.choose(null, Math.min(this.now, Math.max(this.from, (this.pointed ?? this.now) + by)));
      text($("stream-info"), bandAt(this.view, this.pointed).words);
      return;
    }
    const next = this.walk(...step);
    if (next) this.choose(next);
    text($("stream-info"), this.chosen ? wordsOf(this.chosen) : "Nothing there.");
  }

  walk(lanes, along) {
    const from = this.chosen ?? { worker: 0, from: this.now, to: this.now };
    const middle = (from.from + from.to) / 2;
    if (lanes !== 0) {
      for (let w = from.worker + lanes; w >= 0 && w < this.lanes; w += lanes) {
        const found = this.find(w, middle, this.span);
        if (found) return found;
      }
      return null;
    }
    let best = null;
    const consider = (a) => {
      if (a.worker !== from.worker || (along > 0 ? a.from <= from.from : a.from >= from.from)) return;
      if (!best || (along > 0 ? a.from < best.from : a.from > best.from)) best = a;
    };
    const { spans, workers } = this.view.source;
    for (const w of workers.rows) consider(running(w, this.now));
    spans.back(this.from, (i, n) => spans.worker[i] === from.worker && consider(spans.at(n)));
    return best;
  }

  showTip() {
    const { view, chosen } = this;
    if (!chosen) {
      tipOfBand(this.pointed, bandAt(view, this.pointed).lines);
      this.place(view.x(this.pointed), 8);
      return;
    }
    tipOfAttempt(chosen, this.now);
    const until = goesOn(chosen) ? this.now : Math.min(chosen.to, this.now);
    const middle = (Math.max(chosen.from, this.from) + until) / 2;
    this.place(this.pointer?.x ?? view.x(middle), (chosen.worker + 1) * view.lane + 6);
  }

  // place keeps the tip within the page; above its lane where there is no room.
  place(x, y) {
    const tip = $("stream-tip");
    hide(tip, false);
    const { offsetWidth: w, offsetHeight: t } = tip;
    tip.style.left = `${Math.max(0, Math.min(x - w / 2, this.width - w))}px`;
    const above = this.chosen && y + t > this.view.height + 40;
    tip.style.top = `${head + (above ? y - this.view.lane - t - 12 : y)}px`;
  }

  flip() {
    const twin = $("stream-twin");
    const on = twin.hidden;
    set($("stream-toggle"), "aria-pressed", on);
    setIcon($("stream-toggle").firstElementChild, on ? "chart" : "table");
    hide(twin, !on);
    hide(this.host, on);
    this.again();
  }

  showTwin(source) {
    if (this.twinBanded !== this.banded) {
      this.twinBanded = this.banded;
      $("stream-twin").replaceChildren();
      this.twin = new Table($("stream-twin"), this.banded ? bandTable : this.attemptTable());
    }
    if (this.banded) {
      this.twin.update(bandRows(source, this.from, this.now));
      return;
    }
    const rows = source.workers.rows.map((w) => running(w, this.now));
    source.spans.back(this.from, (i, n) => rows.length < 200 && rows.push(source.spans.at(n)));
    const matches = this.filter(source);
    this.twin.update(rows.filter((r) => !matches || matches(r.name, r.state, r.id)));
  }

  attemptTable() {
    const number = (id, label) => ({ id, label, num: true, value: (a) => a[id] });
    return {
      id: "stream",
      label: "The latest attempts",
      noun: "attempt",
      cap: 100,
      key: (a) => `${a.id} ${a.attempt}`,
      empty: "Nothing ran in this time.",
      columns: [
        number("worker", "Worker"),
        { id: "name", label: "Name", value: (a) => a.name, paint: (cell, a) => theirs(cell, a.name), class: "task" },
        {
          id: "id",
          label: "ID",
          num: true,
          header: true,
          value: (a) => a.id,
          paint: (cell, a) => {
            if (!cell.firstChild) cell.append(h("a"));
            text(cell.firstChild, String(a.id));
            set(cell.firstChild, "href", change(this.app.route, { task: a.id }));
          },
        },
        number("attempt", "Attempt"),
        { id: "state", label: "State", value: (a) => a.state, paint: paintState },
        { id: "from", label: "Began", num: true, value: (a) => a.from, show: (a) => clock(a.from, true) },
        { id: "ran", label: "Ran", num: true, value: (a) => a.to - a.from, show: (a) => duration(a.to - a.from) },
      ],
    };
  }
}

const bandTable = {
  id: "stream",
  label: "Workers and attempts over time",
  noun: "row",
  key: (r) => r.key,
  empty: "Nothing ran in this time.",
  columns: [
    { id: "time", label: "Time", header: true, fixed: true, value: (r) => clock(r.t) },
    { id: "busy", label: "Busy workers", num: true, fixed: true, value: (r) => r.busy, show: (r) => count(r.busy) },
    { id: "failed", label: "Failed", num: true, fixed: true, value: (r) => r.failed },
    ...["Min", "25%", "Median", "75%", "Max"].map((label, k) => ({
      id: label,
      label,
      num: true,
      fixed: true,
      value: (r) => r.spread?.[k],
      show: (r) => duration(r.spread?.[k]),
    })),
  ],
};

const running = (w, now) => ({
  worker: w.w,
  id: w.id,
  name: w.name,
  from: w.since,
  to: now,
  state: w.blocked ? "blocked" : "running",
  attempt: w.attempt,
  stuck: w.stuck,
});

// stateMark is in the legend what the lanes have.
function stateMark(state) {
  const shapes = {
    failed: [
      svg("rect", { x: 0, y: 0, width: 3, height: 10, fill: "currentColor" }),
      svg("path", { d: "M6 2.500l5 5m0-5l-5 5", stroke: "currentColor", "stroke-width": 1.6 }),
    ],
    retrying: [
      svg("rect", { x: 0, y: 5, width: 3, height: 5, fill: "currentColor" }),
      svg("circle", { cx: 8.5, cy: 5, r: 2.5, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }),
    ],
    blocked: [svg("path", { d: "M0 8l6-8M3 10l7-9.500M8 10l4-5.5", stroke: "currentColor", "stroke-width": 1.6 })],
  };
  return svg(
    "svg",
    { class: `swatch ${classOf(state)}`, width: 12, height: 10, "aria-hidden": "true" },
    ...shapes[state],
  );
}
