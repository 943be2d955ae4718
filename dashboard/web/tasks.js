// The search of recent tasks, or of the items of a pipeline.

import { $, h, hide, set, text, theirs } from "./dom.js";
import { ago, clock, count, duration, plural } from "./format.js";
import { Table } from "./table.js";
import { labelOf, searchable } from "./states.js";
import { change, go } from "./route.js";
import { paintState } from "./workers.js";
import { colorProperty } from "./theme.js";
import { Stream } from "./stream.js";

const often = 1000; // ms between two looks at what is new
const typing = 200; // ms after a key press
const limit = 100;
const params = { q: "task-q", state: "task-state", name: "task-name" };

export class Tasks {
  constructor(app) {
    this.app = app;
    this.stream = new Stream(app);
    $("task-search").addEventListener("submit", (e) => {
      e.preventDefault();
      this.search();
    });
    $("task-q").addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.search(), typing);
    });
    $("task-state").addEventListener("change", () => this.search());
    $("task-name").addEventListener("change", () => this.search());
  }

  // search puts what the form says into the address, which has show called.
  search() {
    const chosen = Object.entries(params).map(([name, id]) => [name, $(id).value.trim()]);
    go(change(this.app.route, Object.fromEntries(chosen)), true);
  }

  show(source, route) {
    this.source = source;
    const pipeline = source.kind === "pipeline";
    text($("h-tasks"), pipeline ? "Items" : "Tasks");
    text($("h-search"), pipeline ? "Items in the run, and the last ones" : "Recent tasks");
    text($("task-name-label"), pipeline ? "Stage" : "Name");
    hide(document.querySelector(".stream"), pipeline);
    if (this.kind !== source.kind) this.makeTable(source.kind);
    this.wanted = Object.fromEntries(Object.keys(params).map((name) => [name, route.params[name] ?? ""]));
    this.options(source);
    for (const [name, id] of Object.entries(params)) {
      if (document.activeElement !== $(id) || $(id).value.trim() !== this.wanted[name])
        $(id).value = this.wanted[name];
    }
    const query = new URLSearchParams({
      source: source.index,
      limit,
      ...Object.fromEntries(Object.entries(this.wanted).filter(([, v]) => v)),
    });
    if (this.query !== String(query)) {
      this.query = String(query);
      this.page = null;
      this.asked = 0;
    }
    if (!pipeline) this.stream.show(source, this.wanted);
  }

  makeTable(kind) {
    this.kind = kind;
    $("tasks").replaceChildren();
    $("task-state").replaceChildren(
      h("option", { value: "" }, "Any state"),
      ...searchable[kind].map((s) => h("option", { value: s }, labelOf(s))),
    );
    const pipeline = kind === "pipeline";
    const columns = [
      {
        id: "id",
        label: "ID",
        num: true,
        header: true,
        class: "tight",
        value: (t) => t.id,
        paint: (cell, t) => this.paintID(cell, t),
      },
      pipeline && { id: "key", label: "Key", value: (t) => t.key, paint: (cell, t) => theirs(cell, t.key ?? "", "") },
      {
        id: "name",
        label: pipeline ? "Stage" : "Name",
        value: (t) => t.name,
        paint: (cell, t) => this.paintName(cell, t),
        class: "task",
      },
      { id: "state", label: "State", value: (t) => labelOf(t.state), paint: paintState, class: "state" },
      !pipeline && {
        id: "attempt",
        label: "Attempts",
        num: true,
        rank: 2,
        value: (t) => t.attempt,
        show: (t) => t.attempt || "",
      },
      !pipeline && {
        id: "worker",
        label: "Worker",
        num: true,
        rank: 3,
        value: (t) => (t.worker < 0 ? null : t.worker),
      },
      !pipeline && {
        id: "queued",
        label: "Queued",
        num: true,
        rank: 2,
        value: (t) => t.queued,
        show: (t) => (t.queued == null ? "" : duration(t.queued)),
      },
      {
        id: "ran",
        label: pipeline ? "For" : "Ran",
        num: true,
        value: (t) => this.ran(t),
        show: (t) => (this.ran(t) == null ? "" : duration(this.ran(t))),
      },
      !pipeline && {
        id: "ended",
        label: "Ended",
        num: true,
        rank: 2,
        value: (t) => t.ended,
        paint: (cell, t) => this.paintEnded(cell, t),
      },
      {
        id: "error",
        label: pipeline ? "Status" : "Error or status",
        rank: 2,
        class: "wide",
        value: (t) => t.error ?? t.status,
        paint: (cell, t) => theirs(cell, t.error ?? t.status ?? "", ""),
      },
    ];
    this.table = new Table($("tasks"), {
      id: "tasks",
      label: pipeline ? "Items" : "Tasks",
      noun: pipeline ? "item" : "task",
      cap: limit,
      key: (t) => t.id,
      mark: (tr, t) => set(tr, "aria-current", String(t.id) === this.app.route.params.task ? "true" : null),
      empty: "Nothing that is kept matches.",
      columns: columns.filter(Boolean),
    });
  }

  // ran is the time of the latest attempt, which may go on.
  ran(t) {
    if (t.ran != null) return t.ran;
    return t.started != null && t.ended == null && (t.state === "running" || t.state === "blocked")
      ? this.now - t.started
      : null;
  }

  // options offers the names that are there.
  options(source) {
    const names =
      source.kind === "pipeline"
        ? (source.figures?.stages ?? []).map((s) => s.name)
        : source.names.map((n) => n.name);
    if (this.wanted.name && !names.includes(this.wanted.name)) names.push(this.wanted.name);
    names.sort();
    const select = $("task-name");
    const state = JSON.stringify(names);
    if (this.offered === state || document.activeElement === select) return;
    this.offered = state;
    select.replaceChildren(
      h("option", { value: "" }, source.kind === "pipeline" ? "Any stage" : "Any name"),
      ...names.map((n) => h("option", { value: n, selected: n === this.wanted.name }, n.slice(0, 80) || "(no name)")),
    );
  }

  render(source, now, { connection }) {
    this.now = now;
    this.options(source);
    if (source.kind !== "pipeline") this.stream.render(source, now);
    if (connection !== "paused" || !this.page) this.ask();
    if (this.page) this.showPage();
  }

  async ask() {
    if (this.asking || Date.now() - (this.asked ?? 0) < often) return;
    this.asking = true;
    this.asked = Date.now();
    const { query } = this;
    try {
      const answer = await fetch(`tasks.json?${query}`);
      if (query === this.query) {
        this.page = answer.ok ? await answer.json() : null;
        this.error = answer.ok ? null : (await answer.text()).trim().slice(0, 300);
      }
    } catch {
      this.error = "The server can’t be reached.";
    }
    this.asking = false;
    if (this.page && this.told !== query) this.tell(query);
    if (query !== this.query) this.asked = 0; // somebody typed on meanwhile
    this.app.refresh();
  }

  // tell says how much a search has found, once.
  tell(query) {
    const searched = Object.values(this.wanted).some(Boolean);
    if (searched && query === this.query) this.app.say(`${count(this.page.total)} found`);
    this.told = query;
  }

  showPage() {
    const { total, kept, tasks } = this.page;
    const noun = this.kind === "pipeline" ? "item" : "task";
    text(
      $("tasks-note"),
      this.error ?? (total === kept ? `${plural(kept, noun)} kept` : `${count(total)} of ${plural(kept, noun)} kept`),
    );
    this.table.update(tasks);
    if (total > tasks.length) {
      hide(this.table.more, false);
      text(this.table.more, `The latest ${count(tasks.length)} of ${count(total)} are shown. Search for more.`);
    }
  }

  paintID(cell, t) {
    if (!cell.firstChild) cell.append((cell.link = h("a")));
    text(cell.link, String(t.id));
    set(cell.link, "href", change(this.app.route, { task: t.id }));
  }

  paintName(cell, t) {
    if (!cell.name) {
      cell.mark = h("i", { class: "mark", "aria-hidden": "true" });
      cell.name = h("span", { class: "name" });
      cell.second = h("span", { class: "second" });
      cell.append(h("span", { class: "named" }, cell.mark, cell.name), cell.second);
    }
    const nowhere = this.kind === "pipeline" && t.name === "";
    hide(cell.mark, nowhere);
    if (!nowhere) cell.mark.style.backgroundColor = `var(${colorProperty(this.source.colorOf(t.name))})`;
    theirs(cell.name, t.name, this.kind === "pipeline" ? "(at none)" : "(no name)");
    theirs(cell.second, t.error ?? t.status ?? "", "");
  }

  paintEnded(cell, t) {
    text(cell, t.ended == null ? "" : ago(this.now - t.ended));
    set(cell, "title", t.ended == null ? null : clock(t.ended, true));
  }
}
