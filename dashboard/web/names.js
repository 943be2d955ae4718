// The figures of the tasks by their names.

import { h, set, text, theirs } from "./dom.js";
import { count, duration, percent } from "./format.js";
import { Table } from "./table.js";
import { colorProperty } from "./theme.js";
import { href } from "./route.js";

// namesTable returns {show(source, shares)}.
export function namesTable(host, app) {
  let source, parts, scale;
  const time = (id, label, of, k, more) => ({
    id,
    label,
    num: true,
    value: (n) => n[of]?.[k],
    show: (n) => duration(n[of]?.[k]),
    ...more,
  });
  const table = new Table(host, {
    id: "names",
    label: "Tasks by name",
    noun: "name",
    cap: 50,
    key: (n) => n.name,
    sort: { by: "share", dir: "descending" },
    empty: "No task was submitted yet.",
    columns: [
      { id: "name", label: "Name", header: true, class: "task", value: (n) => n.name, paint: paintName },
      {
        id: "share",
        label: "Time share",
        num: true,
        class: "share",
        hint: "Part of the workers’ time, in the last minute",
        value: (n) => parts.get(n.name) ?? 0,
        paint: paintShare,
      },
      { id: "running", label: "Running", num: true, rank: 2, value: (n) => n.running, show: (n) => count(n.running) },
      {
        id: "submitted",
        label: "Tasks",
        num: true,
        hint: "Submitted so far",
        value: (n) => n.submitted,
        show: (n) => count(n.submitted),
      },
      { id: "failed", label: "Failed", num: true, value: (n) => n.failed, paint: paintFailed },
      { id: "retries", label: "Retries", num: true, rank: 3, value: (n) => n.retries, show: (n) => count(n.retries) },
      time("q50", "Queue p50", "q", 0, { rank: 3 }),
      time("q99", "p99", "q", 2, { rank: 3, hint: "Queue p99" }),
      {
        id: "range",
        label: "Run p50 – p99",
        rank: 2,
        class: "range-col",
        hint: "On a logarithmic scale that all rows share",
        first: "descending",
        value: (n) => n.r?.[2],
        paint: paintRange,
      },
      time("r50", "Run p50", "r", 0),
      time("r95", "p95", "r", 1, { rank: 3, hint: "Run p95" }),
      time("r99", "p99", "r", 2, { rank: 2, hint: "Run p99" }),
    ],
  });

  function paintName(cell, n) {
    if (!cell.link) {
      cell.mark = h("i", { class: "mark", "aria-hidden": "true" });
      cell.link = h("a");
      cell.append(h("span", { class: "named" }, cell.mark, cell.link));
    }
    cell.mark.style.backgroundColor = `var(${colorProperty(source.colorOf(n.name))})`;
    theirs(cell.link, n.name);
    set(cell.link, "href", href("tasks", source.index, { name: n.name }));
  }

  function paintShare(cell, n) {
    if (!cell.fill) {
      cell.fill = h("i");
      cell.figure = h("span");
      cell.append(h("span", { class: "mini", "aria-hidden": "true" }, cell.fill), cell.figure);
    }
    const part = parts.get(n.name) ?? 0;
    cell.fill.style.width = `${100 * Math.min(1, part)}%`;
    cell.fill.style.backgroundColor = `var(${colorProperty(source.colorOf(n.name))})`;
    text(cell.figure, percent(part));
  }

  function paintFailed(cell, n) {
    cell.classList.toggle("s-failed", n.failed > 0);
    text(cell, count(n.failed));
  }

  // A range is a line from the median to p99, with a mark at p95.
  function paintRange(cell, n) {
    if (!cell.line) {
      cell.line = h("i", { class: "line" });
      cell.mid = h("i", { class: "mid" });
      cell.append(h("span", { class: "range", "aria-hidden": "true" }, cell.line, cell.mid));
    }
    const [a, b, c] = (n.r ?? [null, null, null]).map(scale);
    cell.line.hidden = cell.mid.hidden = n.r == null;
    if (n.r == null) return;
    cell.line.style.left = `${a}%`;
    cell.line.style.width = `${Math.max(0, c - a)}%`;
    cell.mid.style.left = `${b}%`;
  }

  return {
    show(of, shares) {
      source = of;
      parts = new Map(shares.parts.map((p) => [p.name, p.part]));
      scale = scaleOf(source.names);
      table.update(source.names);
    },
  };
}

// scaleOf places times between 0 and 100, from the shortest median to the
// longest p99 of the names.
function scaleOf(names) {
  const logs = names.flatMap((n) => (n.r ? [n.r[0], n.r[2]] : [])).map((v) => Math.log(Math.max(v, 1e-4)));
  const low = Math.min(...logs),
    high = Math.max(...logs);
  return (v) => (v == null || high - low < 1e-9 ? 0 : (98 * (Math.log(Math.max(v, 1e-4)) - low)) / (high - low));
}
