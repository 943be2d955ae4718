// Charts over time: uPlot within a figure that has a legend with the values
// under the pointer, and a table twin with the same figures.
//
// uPlot comes as a classic script, which defines the global of that name.

import { h, icon, set, svg, text, hide, setIcon } from "./dom.js";
import { color, onTheme } from "./theme.js";
import { clock, nothing } from "./format.js";

/* global uPlot */

const height = 132;
const twinRows = 30;
const dashes = { solid: [], dashed: [6, 3], dotted: [1.5, 3] };
const charts = new Set();
const sync = "antflow"; // the pointer is at the same time in all of them

onTheme(() => charts.forEach((c) => c.plot?.redraw(false)));

// A Chart has a spec: {id, title, kind: "lines" or "stack", log, format, axis,
// series: [{key, label, color, dash}]}. A stack is drawn from the bottom in the
// order of its series.
export class Chart {
  constructor(figure, spec) {
    this.figure = figure;
    this.spec = spec;
    this.seen = true;
    this.title = h("h3", null, spec.title);
    this.legend = h("ul", { class: "legend" });
    this.at = h("span", { class: "at" });
    this.toggle = h(
      "button",
      {
        type: "button",
        class: "ghost twin-toggle",
        "aria-pressed": "false",
        "aria-label": `${spec.title}: show as table`,
        title: "Show as table",
        onclick: () => this.flip(),
      },
      icon("table"),
    );
    this.host = h("div", { class: "plot", role: "img", "aria-label": spec.title });
    this.twin = h("div", {
      class: "twin scroll",
      role: "region",
      tabindex: "0",
      "aria-label": `${spec.title}, as a table`,
    });
    hide(this.twin, true);
    figure.replaceChildren(
      h("figcaption", null, this.title, this.at, this.toggle),
      this.legend,
      this.host,
      this.twin,
    );
    set(figure, "data-chart", spec.id);
    this.dress();
    // Charts that nobody sees aren't drawn; but the plot is also hidden while its
    // table is shown. Both observers tell of the beginning.
    const resized = new ResizeObserver(([entry]) => this.resize(entry.contentRect.width));
    const seen = new IntersectionObserver((entries) => {
      this.seen = entries.at(-1).isIntersecting; // a busy page is told of several at once
      if (this.seen && this.late) this.draw();
    });
    resized.observe(this.host);
    seen.observe(figure);
    this.observers = [resized, seen];
    charts.add(this);
  }

  // end is for a chart whose figure gets another one.
  end() {
    for (const o of this.observers) o.disconnect();
    this.plot?.destroy();
    charts.delete(this);
  }

  // dress makes the legend for the series of the spec, and drops the plot.
  dress() {
    this.values = this.spec.series.map(() => h("b"));
    this.legend.replaceChildren(
      ...this.spec.series.map((s, i) => {
        const label = h("span", { class: "key" }, s.label);
        return h("li", { title: s.hint ?? s.label }, swatch(s, this.spec.kind), label, this.values[i]);
      }),
    );
    this.plot?.destroy();
    this.plot = null;
  }

  // become gives it other series, if they are others.
  become(series) {
    const same =
      series.length === this.spec.series.length && series.every((s, i) => s.key === this.spec.series[i].key);
    if (same) return;
    this.spec = { ...this.spec, series };
    this.dress();
  }

  resize(width) {
    this.width = Math.floor(width);
    if (this.width > 0 && this.plot && this.plot.width !== this.width)
      this.plot.setSize({ width: this.width, height });
    else if (this.width > 0 && !this.plot && this.data) this.draw();
  }

  // update takes the values between two times.
  update(data, from, to) {
    Object.assign(this, { data, from, to, late: true });
    if (this.seen) this.draw();
  }

  draw() {
    this.late = false;
    if (!this.twin.hidden) this.drawTwin();
    else if (this.width > 0) {
      this.plot ??= new uPlot(this.options(), this.columns(), this.host);
      this.plot.setData(this.columns(), false);
      this.plot.batch(() => {
        this.plot.setScale("x", { min: this.from, max: this.to });
        this.plot.setScale("y", this.range());
      });
    }
    this.tell();
  }

  // columns are what is plotted: of a stack the sums, the largest first, so that
  // each covers the rest of the one behind it.
  columns() {
    const first = this.data.since(this.from);
    const columns = this.spec.series.map((s) => {
      const column = this.data.column(s.key);
      // A line along the axis that says "none" is only noise.
      return s.unlessZero && !column.some((v, i) => v > 0 && i >= first) ? column.map(() => null) : column;
    });
    if (this.spec.kind !== "stack") return [this.data.t, ...columns];
    // Where nothing is known there is a gap; to draw none would be a lie.
    const known = this.data.t.map((_, i) => columns.some((column) => column[i] != null));
    const sums = [];
    columns.forEach((column, k) => {
      const below = sums[k - 1];
      sums.push(column.map((v, i) => (known[i] ? (v ?? 0) + (below?.[i] ?? 0) : null)));
    });
    return [this.data.t, ...sums.reverse()];
  }

  range() {
    const { log } = this.spec;
    let low = Infinity,
      high = -Infinity;
    const first = this.data.since(this.from);
    for (const column of this.columns().slice(1)) {
      for (let i = first; i < column.length; i++) {
        const v = column[i];
        if (v == null || (log && v <= 0)) continue;
        if (v < low) low = v;
        if (v > high) high = v;
      }
    }
    if (!log) return { min: 0, max: high > 0 ? nice(high * 1.05) : 1 };
    if (low > high) return { min: 1, max: 1000 };
    const min = 10 ** Math.floor(Math.log10(low));
    return { min, max: Math.max(10 ** Math.ceil(Math.log10(high)), min * 10) };
  }

  options() {
    const { kind, log, series, axis } = this.spec;
    const drawn = series.map((s) =>
      kind === "stack"
        ? { stroke: () => color(s.color), fill: () => color(s.color), width: 0, points: { show: false } }
        : {
            stroke: () => color(s.color),
            width: 1.5,
            dash: dashes[s.dash ?? "solid"],
            spanGaps: true,
            points: { show: false },
            fill: s.fill ? () => color(s.fill) : undefined,
          },
    );
    if (kind === "stack") drawn.reverse();
    const ink = {
      font: "11px system-ui, sans-serif",
      stroke: () => color("--text-3"),
      ticks: { show: false },
      gap: 4,
    };
    return {
      width: this.width,
      height,
      ms: 1,
      legend: { show: false },
      padding: [6, 14, 0, 0],
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: sync, setSeries: false },
        points: { size: 6, show: kind !== "stack" },
      },
      scales: { x: { time: false, auto: false }, y: { auto: false, distr: log ? 3 : 1 } },
      series: [{}, ...drawn],
      axes: [
        {
          ...ink,
          size: 22,
          grid: { show: false },
          splits: () => this.timeSplits(),
          values: (u, splits) => splits.map((t) => this.timeLabel(t)),
        },
        {
          ...ink,
          size: 52,
          grid: { stroke: () => color("--grid"), width: 1 },
          splits: () => this.valueSplits(),
          values: (u, splits) => splits.map((v) => axis(v)),
          filter: (u, splits) => splits,
        },
      ],
      hooks: { setCursor: [() => this.tell()] },
    };
  }

  // The labels stay where they are, and the data moves below them.
  timeSplits() {
    const span = this.to - this.from;
    const step = [10, 15, 30].find((s) => span <= 5000 * s) ?? 60;
    const splits = [];
    // None at the left edge, where the values are.
    for (let t = this.to; t > this.from + span / 12; t -= step * 1000) splits.unshift(t);
    return splits;
  }

  timeLabel(t) {
    const s = Math.round((this.to - t) / 1000);
    if (s === 0) return "now";
    return s < 60 || s % 60 ? `−${s} s` : `−${s / 60} min`;
  }

  valueSplits() {
    const { min, max } = this.plot ? this.plot.scales.y : this.range();
    if (min == null) return [];
    if (!this.spec.log) return max < 2 ? [0, max] : [0, max / 2, max];
    const splits = [];
    const decades = Math.round(Math.log10(max / min));
    const step = Math.ceil(decades / 4);
    for (let k = 0; k <= decades; k += step) splits.push(min * 10 ** k);
    return splits;
  }

  // tell fills the legend: with the values under the pointer, or else the latest.
  tell() {
    const n = this.data?.length ?? 0;
    const under = this.plot?.cursor.idx;
    const i = under ?? n - 1;
    this.spec.series.forEach((s, k) => text(this.values[k], this.valueAt(s.key, i)));
    text(this.at, under != null && n > 0 ? clock(this.data.t[i]) : "");
    const now = Date.now();
    if (now - (this.told ?? 0) < 5000) return; // it is for who comes along, not for each tick
    this.told = now;
    const figures = this.spec.series.map((s) => `${s.label} ${this.valueAt(s.key, n - 1)}`).join(", ");
    set(this.host, "aria-label", `${this.spec.title}, now: ${figures}`);
  }

  // valueAt looks back a little: a tick in which nothing ended has no median.
  valueAt(key, i) {
    const column = this.data?.columns.get(key);
    if (!column) return nothing;
    for (let k = i; k >= 0 && k > i - 40; k--) if (column[k] != null) return this.spec.format(column[k]);
    return nothing;
  }

  flip() {
    const on = this.twin.hidden;
    set(this.toggle, "aria-pressed", on);
    setIcon(this.toggle.firstElementChild, on ? "chart" : "table");
    hide(this.host, on);
    hide(this.twin, !on);
    if (this.data) this.draw();
  }

  // drawTwin is made anew each time, but no more than once a second.
  drawTwin() {
    if (Date.now() - (this.twinned ?? 0) < 1000 && this.twin.firstChild) return;
    this.twinned = Date.now();
    const { series, title } = this.spec;
    const step = (this.to - this.from) / twinRows;
    const rows = [];
    for (let k = 0; k < twinRows; k++) {
      const i = this.data.since(this.to - (k + 1) * step + 1);
      const t = this.data.t[i];
      if (t === undefined || t > this.to - k * step) continue;
      rows.push(
        h(
          "tr",
          null,
          h("th", { scope: "row" }, clock(t)),
          series.map((s) => h("td", { class: "num" }, this.valueAt(s.key, i))),
        ),
      );
    }
    const heads = series.map((s) => h("th", { scope: "col", class: "num" }, s.label));
    const top = this.twin.scrollTop;
    this.twin.replaceChildren(
      h(
        "table",
        null,
        h("caption", { class: "vh" }, title),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Time"), heads)),
        h("tbody", null, rows),
      ),
    );
    this.twin.scrollTop = top;
  }
}

function swatch(s, kind) {
  const shape =
    kind === "stack"
      ? svg("rect", { x: 1, y: 1, width: 8, height: 8, rx: 1.5, fill: "currentColor" })
      : svg("line", {
          x1: 0,
          y1: 5,
          x2: 18,
          y2: 5,
          stroke: "currentColor",
          "stroke-width": 2,
          "stroke-dasharray": dashes[s.dash ?? "solid"].join(" "),
        });
  const el = svg(
    "svg",
    { class: "swatch", width: kind === "stack" ? 10 : 18, height: 10, "aria-hidden": "true" },
    shape,
  );
  el.style.color = `var(${s.color})`;
  return el;
}

// nice is the next number with which half of it is still short.
function nice(v) {
  if (v <= 2) return 2;
  const unit = 10 ** Math.floor(Math.log10(v));
  for (const n of [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10])
    if (n * unit >= v && Number.isInteger(n * unit)) return n * unit;
  return 10 * unit;
}
