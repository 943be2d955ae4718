// The stages of a pipeline: as a flow, and as a table.

import { $, h, hide, icon, keep, set, text, theirs } from "./dom.js";
import { count, duration, plural, rate } from "./format.js";
import { Table } from "./table.js";
import { colorProperty } from "./theme.js";
import { href } from "./route.js";
import { resizeButton } from "./actions.js";

const ended = (st) => st.failed + st.skipped + st.canceled;

// showFlow shows the stages in their order: what waits before each, which of
// its workers are busy, and which one holds up the others.
export function showFlow(el, source, app) {
  const { stages, bottleneck } = source.figures;
  const most = Math.max(1, ...stages.map((st) => st.waiting + st.incoming));
  keep(
    el,
    stages,
    (st) => st.name,
    () => makeStage(),
    (box, st) => {
      const waiting = st.waiting + st.incoming;
      const narrow = st.name === bottleneck;
      set(box.el, "data-stage", st.name.slice(0, 200));
      set(box.el, "data-bottleneck", narrow ? "" : null);
      theirs(box.name, st.name);
      set(box.name, "href", href("tasks", source.index, { name: st.name }));
      hide(box.flag, !narrow);
      text(box.rate, `${rate(st.rate)}/s`);
      box.mark.style.backgroundColor = `var(${colorProperty(source.colorOf(st.name))})`;
      box.queue.fill.style.width = `${(100 * waiting) / most}%`;
      text(box.queue.value, count(waiting));
      box.busy.fill.style.width = `${(100 * Math.min(st.running, st.workers)) / Math.max(1, st.workers)}%`;
      box.busy.more.style.width = `${(100 * Math.min(st.blocked, st.workers)) / Math.max(1, st.workers)}%`;
      text(box.busy.value, `${count(st.running)} of ${count(st.workers)}`);
      text(box.times, `waits ${duration(st.queued)}, works ${duration(st.worked)}`);
      text(box.failed, st.failed > 0 ? `${count(st.failed)} failed` : "");
      const rest = [`${count(st.done)} done`];
      if (st.blocked > 0) rest.push(`${count(st.blocked)} blocked`);
      if (st.delayed > 0) rest.push(`${count(st.delayed)} delayed`);
      text(box.rest, rest.join(" · ") + (st.failed > 0 ? " · " : ""));
    },
  );
}

function makeStage() {
  const mark = h("i", { class: "mark", "aria-hidden": "true" });
  const name = h("a", { class: "name" });
  const flag = h("span", { class: "flag s-stuck" }, icon("bottleneck"), "bottleneck");
  const speed = h("b", { class: "rate" });
  const times = h("p", { class: "times" });
  const rest = h("span"),
    failed = h("span", { class: "s-failed" });
  const queue = makeMeter("waiting", "waiting"),
    busy = makeMeter("running", "workers busy");
  const el = h(
    "li",
    null,
    h("p", { class: "head" }, mark, name, speed),
    queue.el,
    busy.el,
    times,
    h("p", { class: "bad" }, rest, failed),
    flag,
  );
  return { el, mark, name, flag, rate: speed, times, rest, failed, queue, busy };
}

function makeMeter(state, label) {
  const fill = h("i", { class: `f-${state}` }),
    more = h("i", { class: "f-blocked" }),
    value = h("b");
  const el = h(
    "p",
    { class: "meter" },
    h("span", { class: "label" }, label),
    value,
    h("span", { class: "bar", "aria-hidden": "true" }, fill, more),
  );
  return { el, fill, more, value };
}

const number = (id, label, more) => ({
  id,
  label,
  num: true,
  value: (st) => st[id],
  show: (st) => count(st[id]),
  ...more,
});
const time = (id, label, hint) => ({
  id,
  label,
  hint,
  num: true,
  rank: 2,
  value: (st) => st[id],
  show: (st) => duration(st[id]),
});

export class Stages {
  constructor(app) {
    this.app = app;
    this.table = new Table($("stages"), {
      id: "stages",
      label: "Stages",
      noun: "stage",
      key: (st) => st.name,
      empty: "The pipeline has no run yet.",
      mark: (tr, st) => set(tr, "data-bottleneck", st.name === this.source.figures.bottleneck ? "" : null),
      columns: [
        {
          id: "stage",
          label: "Stage",
          header: true,
          value: (st) => st.order,
          paint: (cell, st) => this.paintName(cell, st),
        },
        number("workers", "Workers", { paint: (cell, st) => this.paintWorkers(cell, st) }),
        number("running", "Running", { rank: 2 }),
        number("incoming", "Incoming", { rank: 3, hint: "Items that wait for room to come here" }),
        number("waiting", "Waiting"),
        number("delayed", "Delayed", { rank: 3, hint: "Between two attempts" }),
        number("blocked", "Blocked", { rank: 2, hint: "Workers with items that have no room downstream" }),
        number("entered", "Entered", { rank: 3 }),
        number("done", "Done", { rank: 2 }),
        {
          id: "ended",
          label: "Failed",
          num: true,
          hint: "Failed, skipped and canceled",
          value: ended,
          paint: paintEnded,
        },
        number("retried", "Retries", { rank: 3 }),
        time("queued", "Waits", "Mean time of a visit before its first call"),
        time("worked", "Works", "Mean time of a visit in calls"),
        {
          ...number("rate", "Rate", { hint: "Visits that ended in a second, over the last 8 seconds" }),
          show: (st) => `${rate(st.rate)}/s`,
        },
      ],
    });
  }

  show(source) {
    this.source = source;
  }

  render(source) {
    const f = source.figures;
    if (!f) return;
    const narrow = f.bottleneck ? `“${f.bottleneck.slice(0, 60)}”` : "no stage";
    text($("stages-note"), `${plural(f.stages.length, "stage")} · ${narrow} holds up the others`);
    showFlow($("flow"), source, this.app);
    this.table.update(f.stages.map((st, order) => ({ ...st, order })));
  }

  paintName(cell, st) {
    if (!cell.name) {
      cell.mark = h("i", { class: "mark", "aria-hidden": "true" });
      cell.name = h("span", { class: "name" });
      cell.flag = h("span", { class: "flag s-stuck" }, icon("bottleneck"), "bottleneck");
      cell.append(h("span", { class: "named" }, cell.mark, cell.name, cell.flag));
    }
    cell.mark.style.backgroundColor = `var(${colorProperty(this.source.colorOf(st.name))})`;
    theirs(cell.name, st.name);
    hide(cell.flag, st.name !== this.source.figures.bottleneck);
  }

  paintWorkers(cell, st) {
    if (!cell.figure) {
      cell.figure = h("span");
      cell.button = resizeButton(this.app, () => ({
        source: this.source.index,
        stage: cell.stage.name,
        workers: cell.stage.workers,
      }));
      cell.append(cell.figure, cell.button);
    }
    cell.stage = st;
    text(cell.figure, count(st.workers));
    hide(cell.button, !this.app.model.actions);
  }
}

function paintEnded(cell, st) {
  cell.classList.toggle("s-failed", st.failed > 0);
  text(cell, count(ended(st)));
  const parts = [`${count(st.failed)} failed`, `${count(st.skipped)} skipped`, `${count(st.canceled)} canceled`];
  set(cell, "title", parts.join(", "));
}
