// All that is known of one kind of failure: the latest error, a stack, and the
// tasks that failed last. It is made once and then only filled, so that what
// somebody reads or selects stays while further tasks fail.

import { $, h, hide, icon, set, text, theirs } from "./dom.js";
import { clock, count, duration } from "./format.js";
import { Table } from "./table.js";
import { change, go, href } from "./route.js";

const refetch = 2000; // ms between two requests, at least
const mostText = 10_000;

export class Group {
  constructor(app) {
    this.app = app;
    this.key = null;
  }

  // show turns to the kind with that key, or to none. Only a chosen one can be
  // closed.
  show(source, key, chosen) {
    const other = key !== this.key || source.index !== this.source?.index;
    this.source = source;
    this.key = key;
    hide($("group"), key == null);
    set($("view-failures"), "data-open", key == null ? null : "");
    if (other) {
      this.full = this.asked = this.error = null;
      if (key != null) this.build();
    }
    if (key != null) hide(this.close, !chosen);
  }

  build() {
    this.close = h(
      "button",
      {
        type: "button",
        class: "ghost close",
        id: "group-close",
        "aria-label": "Close the details",
        onclick: () => go(href("failures", this.source.index)),
      },
      icon("close"),
    );
    this.title = h("h2", { id: "h-group", class: "kind" });
    this.facts = Object.fromEntries(["Task", "Failed", "Retried", "First", "Last"].map((name) => [name, fact(name)]));
    if (this.source.kind === "pipeline") text(this.facts.Task.name, "Stage");
    const latest = this.source.kind === "pipeline" ? "First error" : "Latest error"; // as the server knows it
    this.words = h("pre", { class: "words", tabindex: "0", "aria-label": latest });
    this.stack = h("pre", { class: "stack", tabindex: "0", "aria-label": "Stack" });
    this.stacked = h("div", null, h("h3", null, "Stack of the first one"), this.stack);
    this.tasks = h("div");
    this.tasked = h("div", null, h("h3", null, "Latest"), this.tasks);
    this.note = h("p", { class: "quiet" });
    this.table = null;
    this.known = h(
      "div",
      null,
      h(
        "dl",
        { class: "facts" },
        Object.values(this.facts).map((f) => f.el),
      ),
      h("h3", null, latest),
      this.words,
      this.stacked,
      this.tasked,
    );
    $("group").replaceChildren(this.close, this.title, this.known, this.note);
  }

  render(now, connection) {
    if (this.key == null) return;
    const brief = this.source.failures.groups.find((g) => g.key === this.key);
    if (connection !== "paused") this.ask(brief);
    const g = brief ?? this.full?.group;
    hide(this.known, !g);
    hide(this.note, this.full != null && g != null);
    if (g) this.fill(g, this.full?.group);
    else text(this.title, "Not here");
    text(this.note, this.error ?? (this.full ? "This kind of failure is not known any more." : "Loading…"));
  }

  fill(g, full) {
    theirs(this.title, g.kind || g.text, "(no text)");
    theirs(this.facts.Task.value, g.name);
    text(this.facts.Failed.value, count(g.failed));
    text(this.facts.Retried.value, count(g.retried));
    hide(this.facts.Retried.el, this.source.kind === "pipeline");
    for (const [name, t] of [
      ["First", g.first],
      ["Last", g.last],
    ]) {
      text(this.facts[name].value, clock(t));
      hide(this.facts[name].el, t == null);
    }
    text(this.words, (g.text || "(no text)").slice(0, mostText));
    hide(this.stacked, !full?.stack);
    text(this.stack, (full?.stack ?? "").slice(0, mostText));
    hide(this.tasked, !full?.tasks?.length);
    if (full?.tasks?.length) this.fillTasks([...full.tasks].reverse());
  }

  fillTasks(rows) {
    this.table ??= this.makeTable(rows);
    this.table.update(rows);
  }

  makeTable(rows) {
    const column = (id, label, show, more) => ({
      id,
      label,
      num: true,
      fixed: true,
      value: (t) => t[id],
      show: (t) => (t[id] ? show(t[id]) : ""),
      ...more,
    });
    const words = (id, label) => ({
      id,
      label,
      fixed: true,
      class: "wide",
      value: (t) => t[id],
      paint: (cell, t) => theirs(cell, t[id], ""),
    });
    const columns = [
      column("attempt", "Attempts", String, { rank: 2 }),
      column("ran", "Ran", duration, { rank: 2 }),
      column("time", "At", (t) => clock(t)),
      words("key", "Key"),
      words("input", "Input"),
      words("text", "Error"),
    ].filter((c) => rows.some((t) => t[c.id])); // what isn't known of any has no column
    const id = {
      id: "id",
      label: "ID",
      header: true,
      num: true,
      fixed: true,
      class: "tight",
      value: (t) => t.id,
      paint: (cell, t) => this.paintID(cell, t),
    };
    return new Table(this.tasks, {
      id: "failed-tasks",
      label: "The latest that failed so",
      key: (t) => `${t.id} ${t.time}`,
      columns: [id, ...columns],
    });
  }

  paintID(cell, t) {
    if (!cell.firstChild) cell.append(h("a"));
    text(cell.firstChild, String(t.id));
    set(cell.firstChild, "href", change(this.app.route, { key: this.key, task: t.id }));
  }

  // ask fetches the details when there may be others.
  async ask(brief) {
    const state = brief ? `${brief.failed} ${brief.retried}` : "";
    if (this.asking === this.key || this.full?.state === state || Date.now() - (this.asked ?? 0) < refetch) return;
    this.asked = Date.now();
    this.asking = this.key;
    const { key, source } = this;
    let group = null,
      error = null;
    try {
      const answer = await fetch(`failures.json?source=${source.index}`);
      if (answer.ok) group = (await answer.json()).groups.find((g) => g.key === key) ?? null;
      else error = (await answer.text()).trim().slice(0, 300);
    } catch {
      error = "The server can’t be reached.";
    }
    this.asking = null;
    if (key !== this.key || source.index !== this.source.index) return; // somebody went on
    this.error = error;
    if (!error) this.full = { state, group };
    this.app.refresh();
  }
}

function fact(label) {
  const name = h("dt", null, label),
    value = h("dd");
  return { el: h("div", null, name, value), name, value };
}
