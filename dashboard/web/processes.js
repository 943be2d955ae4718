// The workers of a cluster, which are processes.

import { $, h, set, text, theirs } from "./dom.js";
import { about, age, count, plural, rate } from "./format.js";
import { Table } from "./table.js";
import { paintState } from "./workers.js";

const list = (names) => names.join(", ");

export class Processes {
  constructor() {
    const names = (id, label, hint, cls) => ({
      id,
      label,
      hint,
      rank: 2,
      class: cls,
      value: (w) => list(w[id]),
      paint: (cell, w) => theirs(cell, list(w[id]), "none"),
    });
    const number = (id, label, more) => ({
      id,
      label,
      num: true,
      value: (w) => w[id],
      show: (w) => count(w[id]),
      ...more,
    });
    this.table = new Table($("processes"), {
      id: "processes",
      label: "Workers",
      noun: "worker",
      cap: 200,
      key: (w) => w.name,
      sort: { by: "name", dir: "ascending" },
      empty: "No worker has answered.",
      mark: (tr, w) => set(tr, "data-state", w.state),
      columns: [
        { id: "name", label: "Worker", header: true, class: "task", value: (w) => w.name, paint: paintName },
        { id: "state", label: "State", class: "state", value: (w) => w.state, paint: paintState },
        number("running", "Running", {
          hint: "Tasks with a slot, of its slots",
          show: (w) => `${count(w.running)} of ${count(w.max)}`,
        }),
        number("held", "Held", { rank: 3, hint: "Tasks that it has from the broker, running or not" }),
        number("finished", "Finished", { rank: 2, hint: "Tasks whose outcome it has reported" }),
        number("rate", "Rate", {
          rank: 2,
          hint: "Tasks that it finished in a second, over the last 10 seconds",
          show: (w) => (w.rate == null ? "" : `${rate(w.rate)}/s`),
        }),
        number("since", "Up", {
          rank: 3,
          value: (w) => (w.since == null ? null : this.now - w.since),
          show: (w) => (w.since == null ? "" : age(this.now - w.since)),
        }),
        names("queues", "Queues", "That it serves", "task"),
        names("tasks", "Handlers", "Names of the tasks that it has a handler for", "wide"),
      ],
    });
  }

  // Of a cluster that does not answer the time stands still.
  render(source, now) {
    const f = source.figures;
    this.now = source.aged && f.at != null ? f.at : now;
    const { total, rows } = source.workers;
    const parts = [];
    if (f?.at != null) {
      parts.push(plural(total, "worker"));
      for (const state of ["draining", "disconnected", "stopped", "broken"])
        if (f[state] > 0) parts.push(`${count(f[state])} ${state}`);
      parts.push(`${count(f.running)} of ${plural(f.max, "slot")} busy`);
      if (total > rows.length) parts.push(`${count(rows.length)} are shown`);
    }
    if (source.aged) {
      parts.push(f.error.slice(0, 200));
      if (f.at != null) parts.push(`as they were ${about(now - f.at)} ago`);
    }
    text($("workers-note"), parts.join(" · "));
    set($("processes"), "data-aged", source.aged ? "" : null);
    this.table.update(rows);
  }
}

function paintName(cell, w) {
  if (!cell.name) {
    cell.name = h("span", { class: "name" });
    cell.queues = h("span", { class: "second" });
    cell.append(h("span", { class: "named" }, cell.name), cell.queues);
  }
  theirs(cell.name, w.name);
  theirs(cell.queues, list(w.queues), "");
}
