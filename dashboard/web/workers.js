// What each worker does at this moment.

import { $, h, hide, icon, set, setIcon, text, theirs } from "./dom.js";
import { age, count, duration, plural } from "./format.js";
import { Table } from "./table.js";
import { classOf, iconOf, labelOf } from "./states.js";
import { change } from "./route.js";
import { drain, resizeButton } from "./actions.js";
import { colorProperty } from "./theme.js";

const mostIdle = 64; // workers of an executor whose idle ones are shown, too

export class Workers {
  // Those of a cluster are processes, of which another table is.
  constructor(app, processes) {
    this.app = app;
    this.processes = processes;
    this.table = new Table($("workers"), {
      id: "workers",
      label: "Workers",
      noun: "worker",
      cap: 200,
      key: (w) => w.key,
      sort: { by: "worker", dir: "ascending" },
      empty: "No worker has anything to do.",
      mark: (tr, w) => {
        set(tr, "data-state", w.state);
        tr.classList.toggle("dim", w.state === "idle");
      },
      columns: [
        {
          id: "worker",
          label: "#",
          num: true,
          header: true,
          hint: "Number of the worker",
          value: (w) => w.w,
          first: "ascending",
          class: "tight",
        },
        { id: "state", label: "State", value: (w) => w.state, paint: paintState, class: "state" },
        {
          id: "task",
          label: "Task",
          value: (w) => w.name,
          paint: (cell, w) => this.paintTask(cell, w),
          class: "task",
        },
        {
          id: "id",
          label: "ID",
          num: true,
          rank: 3,
          first: "ascending",
          value: (w) => w.id,
          show: (w) => w.id ?? "",
        },
        {
          id: "attempt",
          label: "Attempt",
          num: true,
          rank: 2,
          value: (w) => w.attempt,
          show: (w) => w.attempt ?? "",
        },
        {
          id: "age",
          label: "For",
          num: true,
          class: "age",
          hint: "Since the attempt began",
          value: (w) => (w.since == null ? null : this.now - w.since),
          show: (w) => (w.since == null ? "" : age(this.now - w.since)),
        },
        {
          id: "usual",
          label: "Usually",
          num: true,
          rank: 2,
          hint: "Median of the tasks of that name",
          value: (w) => this.usual.get(w.name),
          show: (w) => (this.usual.has(w.name) ? duration(this.usual.get(w.name)) : ""),
        },
        {
          id: "status",
          label: "Status",
          rank: 2,
          class: "wide",
          value: (w) => w.status,
          paint: (cell, w) => theirs(cell, w.status, ""),
        },
      ],
    });
    const actions = $("worker-actions");
    actions.append(
      h("button", { type: "button", id: "drain", onclick: () => drain(app, this.source.index) }, "Drain…"),
      resizeButton(app, () => ({ source: this.source.index, workers: this.source.figures?.max ?? 1 }), "Resize…"),
    );
  }

  show(source) {
    this.source = source;
    this.version = null;
    hide($("workers"), source.kind === "cluster");
    hide($("processes"), source.kind !== "cluster");
    hide($("worker-actions"), true);
  }

  render(source, now, { version }) {
    if (version === this.version) return;
    this.version = version;
    if (source.kind === "cluster") {
      this.processes.render(source, now);
      return;
    }
    this.now = now;
    const { rows, total } = source.workers;
    const max = source.figures?.max ?? 0;
    this.usual = new Map(source.names.filter((n) => n.r).map((n) => [n.name, n.r[0]]));
    const list = rows.map((w) => ({ ...w, key: w.w, state: w.stuck ? "stuck" : w.blocked ? "blocked" : "running" }));
    if (max <= mostIdle && total === rows.length) {
      const busy = new Set(rows.map((w) => w.w));
      for (let w = 0; w < max; w++) if (!busy.has(w)) list.push({ w, key: w, state: "idle", name: null });
    }
    const of = (state) => list.filter((w) => w.state === state).length;
    const stuck = of("stuck");
    const parts = [`${count(source.figures?.running ?? 0)} of ${plural(max, "worker")} busy`];
    if (source.figures?.blocked > 0) parts.push(`${count(source.figures.blocked)} blocked`);
    if (stuck > 0) parts.push(`${count(stuck)} may be stuck`);
    if (total > rows.length) parts.push(`the ${count(rows.length)} that run the longest are shown`);
    text($("workers-note"), parts.join(" · "));
    hide($("worker-actions"), !this.app.model.actions);
    this.table.update(list);
  }

  paintTask(cell, w) {
    if (!cell.link) {
      cell.mark = h("i", { class: "mark", "aria-hidden": "true" });
      cell.link = h("a", { class: "name" });
      cell.status = h("span", { class: "second" });
      cell.append(h("span", { class: "named" }, cell.mark, cell.link), cell.status);
    }
    const idle = w.state === "idle";
    hide(cell.firstChild, idle);
    if (!idle) {
      cell.mark.style.backgroundColor = `var(${colorProperty(this.source.colorOf(w.name))})`;
      theirs(cell.link, w.name);
      set(cell.link, "href", change(this.app.route, { task: w.id }));
    }
    theirs(cell.status, w.status ?? "", "");
  }
}

// paintState shows a state as a shape, a colour and a word.
export function paintState(cell, { state }) {
  if (!cell.word) {
    cell.icon = icon(iconOf(state));
    cell.word = h("span");
    cell.append(h("span", { class: "stated" }, cell.icon, cell.word));
  }
  if (cell.state === state) return;
  cell.state = state;
  set(cell.firstChild, "class", `stated ${classOf(state)}`);
  setIcon(cell.icon, iconOf(state));
  text(cell.word, labelOf(state));
}
