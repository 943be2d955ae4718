// One task: what it is, and its attempts on a time line. It is beside whatever
// view the link to it was in.

import { $, h, hide, icon, set, text, theirs } from "./dom.js";
import { age, clock, duration, plural } from "./format.js";
import { change, go } from "./route.js";
import { paintState } from "./workers.js";
import { iconOf, labelOf } from "./states.js";
import { cancelTask } from "./actions.js";

const often = 1000;
const over = ["succeeded", "done", "failed", "canceled", "rejected", "gone"];

export class Drawer {
  constructor(app) {
    this.app = app;
    this.id = null;
    addEventListener("keydown", (e) => {
      if (e.key === "Escape" && this.id != null && !$("confirm").open) this.close();
    });
  }

  show(source, route) {
    const known = source.kind !== "cluster" && /^\d+$/.test(route.params.task ?? "");
    const id = known ? route.params.task : null;
    if (id === this.id && source === this.source) return;
    const opened = id != null && id !== this.id;
    this.source = source;
    this.id = id;
    this.task = this.error = null;
    this.gone = null; // when the server had forgotten it
    this.asked = 0;
    hide($("task"), id == null);
    set(document.body, "data-drawer", id == null ? null : "");
    if (!opened) return;
    this.opener = document.activeElement;
    this.build();
    if (this.app.moved) this.title.focus({ preventScroll: true });
  }

  close() {
    go(change(this.app.route, { task: null }));
    // Back to where the task was opened; that row may have left the table.
    const back = this.opener?.isConnected ? this.opener : $(`h-${this.app.route.view}`);
    back.focus({ preventScroll: true });
  }

  build() {
    this.title = h("h2", { id: "h-task", tabindex: "-1" });
    this.number = h("span", { class: "number" }, `${this.source.kind === "pipeline" ? "Item" : "Task"} ${this.id}`);
    this.state = h("p", { class: "state-line" });
    this.facts = h("dl", { class: "facts" });
    this.words = h("div", { class: "words-host" });
    this.note = h("p", { class: "quiet", id: "task-note" });
    this.line = h("div", { id: "attempts" });
    this.cancel = h(
      "button",
      {
        type: "button",
        id: "cancel",
        hidden: true,
        onclick: () => cancelTask(this.app, this.source.index, Number(this.id)),
      },
      "Cancel task…",
    );
    $("task").replaceChildren(
      h(
        "header",
        null,
        this.number,
        h(
          "button",
          {
            type: "button",
            class: "ghost close",
            id: "task-close",
            "aria-label": "Close the task",
            onclick: () => this.close(),
          },
          icon("close"),
        ),
      ),
      this.title,
      this.state,
      this.note,
      this.facts,
      this.words,
      this.line,
      this.cancel,
    );
    text(this.title, "Loading…");
    this.painted = this.saidLast = null;
  }

  render(source, now, { connection }) {
    if (this.id == null) return;
    const settled = this.gone != null || (this.task && over.includes(this.task.state));
    if (!settled && (connection !== "paused" || !this.task)) this.ask();
    hide(this.note, this.gone == null && !this.error);
    text(
      this.note,
      this.task && this.gone != null ? "It is not kept any more; this is what was seen last." : (this.error ?? ""),
    );
    if (this.task) this.paint(this.gone ?? now);
    else if (this.error) text(this.title, "Not here");
  }

  async ask() {
    if (this.asking === this.id || Date.now() - this.asked < often) return;
    this.asked = Date.now();
    const { id, source } = this;
    this.asking = id;
    let task = null,
      error = null,
      gone = false;
    try {
      const answer = await fetch(`task.json?source=${source.index}&id=${id}`);
      gone = answer.status === 404;
      if (answer.ok) task = await answer.json();
      else if (gone) error = "Nothing is known of it any more: only the latest are kept.";
      else error = (await answer.text()).trim().slice(0, 300);
    } catch {
      error = "The server can’t be reached.";
    }
    this.asking = null;
    if (id !== this.id || source !== this.source) return;
    this.gone = gone ? this.app.model.now() : null;
    this.task = task ?? this.task;
    this.error = error;
    this.app.refresh();
  }

  paint(now) {
    const t = this.task;
    theirs(this.title, t.name, this.source.kind === "pipeline" ? "(at no stage)" : "(no name)");
    paintState(this.state, { state: t.stuck ? "stuck" : t.state });
    const moving = !over.includes(t.state) && this.gone == null;
    hide(this.cancel, !this.app.model.actions || this.source.kind !== "executor" || !moving);
    const mark = JSON.stringify(t) + (moving ? Math.floor(now / 500) : "");
    if (this.painted === mark) return;
    this.painted = mark;
    this.paintFacts(t, now);
    const said = JSON.stringify([t.status, t.error]);
    if (said !== this.saidLast) this.words.replaceChildren(...this.said(t)); // what is selected there stays
    this.saidLast = said;
    if (t.attempts?.length)
      this.line.replaceChildren(
        h("h3", null, t.forgotten ? `Attempts, without the first ${t.forgotten}` : "Attempts"),
        attemptLine(t, now),
      );
    else if (t.visits?.length) this.line.replaceChildren(h("h3", null, "Stages"), visitLine(t.visits));
    else this.line.replaceChildren();
  }

  paintFacts(t, now) {
    const facts = [];
    const add = (name, value) =>
      value != null && facts.push(h("div", null, h("dt", null, name), h("dd", null, value)));
    if (t.key) {
      const key = h("span");
      theirs(key, t.key);
      add("Key", key);
    }
    if (t.submitted != null) add("Submitted", clock(t.submitted, true));
    if (t.submitted != null)
      add(
        t.ended == null ? "Since" : "In all",
        t.ended == null ? age(now - t.submitted) : duration(t.ended - t.submitted),
      );
    if (t.ran != null && !t.attempts?.length) add(this.source.kind === "pipeline" ? "For" : "Ran", duration(t.ran));
    if (t.worker >= 0) add("Worker", String(t.worker));
    if (t.attempt > 0) add("Attempts", String(t.attempt));
    add("Priority", String(t.priority ?? 0));
    this.facts.replaceChildren(...facts);
  }

  said(t) {
    const parts = [];
    for (const [title, words, cls] of [
      ["Status", t.status, "quote"],
      ["Error", t.error, "words"],
    ]) {
      if (!words) continue;
      const pre = h("pre", { class: cls, tabindex: "0", "aria-label": title });
      pre.textContent = words;
      parts.push(h("h3", null, title), pre);
    }
    return parts;
  }
}

// attemptLine is a table whose one column is drawn: each attempt where it was
// in the life of the task, what it waited before, and the delay after it.
function attemptLine(t, now) {
  const first = t.attempts[0];
  const begin = Math.min(t.submitted ?? Infinity, first.start - first.queued);
  const last = t.attempts.at(-1);
  const end = Math.max(
    t.ended ?? 0,
    last.end == null ? now : last.end + (t.ended == null ? last.delay : 0),
    begin + 0.001,
  );
  const at = (ms) => (100 * (Math.min(Math.max(ms, begin), end) - begin)) / (end - begin);
  const rows = t.attempts.map((a) => {
    const stop = a.end ?? now;
    const track = h(
      "div",
      { class: "track", "aria-hidden": "true" },
      part("wait", at(a.start - a.queued), at(a.start)),
      part(`run f-${iconOf(a.outcome)}`, at(a.start), at(stop)),
      a.delay > 0 && a.outcome === "retrying" && part("delay", at(stop), at(stop + a.delay)),
    );
    const state = h("td", { class: "state" });
    paintState(state, { state: a.outcome });
    const why = [
      a.permit > 0 && `${duration(a.permit)} for a permit`,
      a.rate > 0 && `${duration(a.rate)} for the rate limit`,
    ]
      .filter(Boolean)
      .join(", ");
    const row = h(
      "tr",
      { "data-attempt": a.n },
      h("th", { scope: "row", class: "num" }, String(a.n)),
      h("td", { class: "line" }, track),
      h("td", { class: "num", title: why || null }, duration(a.queued)),
      h("td", { class: "num" }, a.end == null ? age(now - a.start) : duration(a.ran)),
      state,
    );
    const words = a.error && a.error !== t.error ? h("span", { class: "text" }) : null;
    if (words) theirs(words, a.error);
    const more = [words, a.delay > 0 && a.outcome === "retrying" && `next one after ${duration(a.delay)}`].filter(
      Boolean,
    );
    return more.length
      ? [
          row,
          h(
            "tr",
            { class: "more" },
            h("td"),
            h(
              "td",
              { colspan: 4 },
              more.flatMap((m, i) => (i ? [" · ", m] : [m])),
            ),
          ),
        ]
      : [row];
  });
  const heads = [
    ["#", "num"],
    ["Time line", "line"],
    ["Queued", "num"],
    ["Ran", "num"],
    ["Result", ""],
  ];
  return h(
    "table",
    { "data-table": "attempts", class: "attempts" },
    h("caption", { class: "vh" }, `${plural(t.attempts.length, "attempt")}, now ${labelOf(t.state)}`),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map(([label, cls]) => h("th", { scope: "col", class: cls || null }, label)),
      ),
    ),
    h("tbody", null, rows),
  );
}

function visitLine(visits) {
  const total = visits.reduce((sum, v) => sum + v.queued + v.worked, 0) || 1;
  let at = 0;
  const rows = visits.map((v) => {
    const from = at,
      start = at + v.queued;
    at = start + v.worked;
    const name = h("th", { scope: "row", class: "task" });
    theirs(name, v.stage);
    return h(
      "tr",
      null,
      name,
      h(
        "td",
        { class: "line" },
        h(
          "div",
          { class: "track", "aria-hidden": "true" },
          part("wait", (100 * from) / total, (100 * start) / total),
          part("run f-running", (100 * start) / total, (100 * at) / total),
        ),
      ),
      h("td", { class: "num" }, duration(v.queued)),
      h("td", { class: "num" }, duration(v.worked)),
      h("td", { class: "num" }, String(v.attempts)),
    );
  });
  const heads = [
    ["Stage", ""],
    ["Time line", "line"],
    ["Queued", "num"],
    ["Worked", "num"],
    ["Attempts", "num"],
  ];
  return h(
    "table",
    { "data-table": "visits", class: "attempts" },
    h("caption", { class: "vh" }, "Stages that the item has been through"),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map(([label, cls]) => h("th", { scope: "col", class: cls || null }, label)),
      ),
    ),
    h("tbody", null, rows),
  );
}

// part is a stretch of a track; the shortest is still seen.
function part(cls, from, to) {
  const el = h("i", { class: cls });
  el.style.left = `${Math.min(from, 99.5)}%`;
  el.style.width = `${Math.max(to - from, cls === "wait" || cls === "delay" ? 0 : 0.5)}%`;
  return el;
}
