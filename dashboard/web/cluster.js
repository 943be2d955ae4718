// The overview of a cluster: where tasks wait, what is wrong, and the queues.

import { $, h, hide, icon, keep, set, setIcon, text, theirs } from "./dom.js";
import { about, count, plural } from "./format.js";
import { Table } from "./table.js";
import { colorProperty } from "./theme.js";
import { line } from "./specs.js";
import { troublesOf } from "./troubles.js";

const mostTroubles = 6;
const inSight = 0.05; // of the limit
const priorities = { 1: "high", 0: "normal", "-1": "low" };

// depthLines are the series of what waits: the queues that have a colour, and
// all others.
export function depthLines(source) {
  const named = source.figures.depths.filter((d) => source.colorOf(d.queue) >= 0);
  named.sort((a, b) => source.colorOf(a.queue) - source.colorOf(b.queue));
  const lines = named.map(({ queue }) => ({
    ...line(`wait ${queue}`, queue || "(no name)", colorProperty(source.colorOf(queue))),
    hint: queue,
  }));
  if (named.length < source.figures.queues) lines.push(line("wait", "other queues", "--n-other"));
  return lines;
}

// backlogLines have the limit only when it is in sight: beside one of a million a
// backlog of hundreds would be a line on the axis.
export function backlogLines({ figures: f }) {
  const lines = [{ ...line("backlog", "unfinished", "--accent"), fill: "--accent-fill" }];
  if (f.limit > 0 && f.backlog >= inSight * f.limit) lines.push(line("limit", "limit", "--c-failed", "dashed"));
  return lines;
}

const number = (id, label, more) => ({
  id,
  label,
  num: true,
  value: (q) => q[id],
  show: (q) => count(q[id]),
  ...more,
});

export class Cluster {
  constructor() {
    this.table = new Table($("queues"), {
      id: "queues",
      label: "Queues",
      noun: "row",
      cap: 300,
      key: (q) => `${q.priority} ${q.queue}`,
      sort: { by: "waiting", dir: "descending" },
      empty: "There is no queue yet.",
      columns: [
        {
          id: "queue",
          label: "Queue",
          header: true,
          class: "task",
          value: (q) => q.queue,
          paint: (cell, q) => this.paint(cell, q),
        },
        {
          id: "priority",
          label: "Priority",
          first: "descending",
          value: (q) => q.priority,
          show: (q) => priorities[q.priority],
        },
        number("waiting", "Waiting", { hint: "Tasks that no worker has" }),
        number("taken", "Taken", { hint: "Tasks that workers have, or that wait for a retry" }),
        number("redelivered", "Redelivered", { rank: 2, hint: "Of these, those that were taken more than once" }),
        number("requests", "Requests", { rank: 3, hint: "Of workers that wait for a task" }),
        number("workers", "Workers", { rank: 2, hint: "Those that serve the queue" }),
      ],
    });
  }

  render(source, now) {
    this.source = source;
    const { total, rows } = source.queues;
    const shown = new Set(rows.map((q) => q.queue)).size;
    const parts = [];
    if (source.aged && source.figures.at != null) parts.push(`as they were ${about(now - source.figures.at)} ago`);
    if (shown < total) parts.push(`the ${count(shown)} of ${count(total)} in which the most tasks wait are shown`);
    text($("queues-note"), parts.join(" · "));
    this.table.update(worthwhile(rows));
  }

  showTroubles(source) {
    const all = troublesOf(source);
    const rows = all.slice(0, mostTroubles);
    if (all.length > rows.length) {
      const words = plural(all.length - rows.length, "further problem");
      rows.push({ id: "rest", icon: "stuck", text: words });
    } else if (rows.length === 0) rows.push({ id: "none", icon: "done", text: "Nothing is wrong" });
    keep(
      $("why"),
      rows,
      (r) => `trouble ${r.id}`,
      () => makeTrouble(),
      (row, r) => {
        set(row.el, "class", `fine s-${r.icon}`);
        set(row.el, "data-trouble", r.id.split(" ")[0]);
        setIcon(row.icon, r.icon);
        theirs(row.words, r.text);
      },
    );
  }

  paint(cell, q) {
    if (!cell.name) {
      cell.mark = h("i", { class: "mark", "aria-hidden": "true" });
      cell.name = h("span", { class: "name" });
      cell.flag = h("span", { class: "flag s-stuck" }, icon("stuck"), "no worker");
      cell.append(h("span", { class: "named" }, cell.mark, cell.name, cell.flag));
    }
    cell.mark.style.backgroundColor = `var(${colorProperty(this.source.colorOf(q.queue))})`;
    theirs(cell.name, q.queue);
    hide(cell.flag, !q.unserved);
  }
}

// worthwhile leaves out the levels of a queue at which there is nothing, which are
// most of them; each queue is there.
function worthwhile(rows) {
  const usual = new Set(rows.filter((q) => q.priority === 0).map((q) => q.queue));
  return rows.filter((q) => q.priority === 0 || q.waiting + q.taken > 0 || !usual.has(q.queue));
}

function makeTrouble() {
  const mark = icon("stuck"),
    words = h("span", { class: "words" });
  return { el: h("li", null, mark, words), icon: mark, words };
}
