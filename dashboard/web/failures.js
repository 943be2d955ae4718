// Failures by kind.

import { $, h, hide, icon, set, setIcon, text, theirs } from "./dom.js";
import { ago, count, plural } from "./format.js";
import { Group } from "./group.js";
import { Table } from "./table.js";
import { href } from "./route.js";

const wide = matchMedia("(min-width: 1100px)");

export class Failures {
  constructor(app) {
    this.app = app;
    this.group = new Group(app);
  }

  // makeTable is for a kind of source: pipelines count retries by stage alone.
  makeTable(kind) {
    this.kind = kind;
    $("failures").replaceChildren();
    const pipeline = kind === "pipeline";
    const time = (id, label, more) => ({
      id,
      label,
      num: true,
      value: (g) => g[id],
      paint: (cell, g) => this.paintTime(cell, g[id]),
      ...more,
    });
    const columns = [
      {
        id: "failed",
        label: "Failed",
        num: true,
        value: (g) => g.failed + Math.min(0.9, g.retried / 1e9),
        paint: paintFailed,
        class: "tight",
      },
      {
        id: "name",
        label: pipeline ? "Stage" : "Task",
        value: (g) => g.name,
        paint: (cell, g) => theirs(cell, g.name),
        class: "task",
      },
      {
        id: "error",
        label: "Error",
        header: true,
        value: (g) => g.kind,
        paint: (cell, g) => this.paintError(cell, g),
        class: "wide error",
      },
      !pipeline && {
        id: "retried",
        label: "Retried",
        num: true,
        rank: 2,
        hint: "Attempts with this error that another one followed",
        value: (g) => g.retried,
        show: (g) => count(g.retried),
      },
      time("first", "First", { rank: 3 }),
      time("last", "Last"),
    ];
    this.table = new Table($("failures"), {
      id: "failures",
      label: "Failures by kind",
      noun: "kind",
      key: (g) => g.key,
      sort: { by: "failed", dir: "descending" },
      empty: "",
      mark: (tr, g) => set(tr, "aria-current", g.key === this.group.key ? "true" : null),
      columns: columns.filter(Boolean),
    });
  }

  show(source, route) {
    this.source = source;
    if (this.kind !== source.kind) this.makeTable(source.kind);
    this.chosen = route.params.key ?? null;
    this.group.show(source, this.chosen ?? this.group.key, this.chosen != null);
  }

  render(source, now, { connection }) {
    this.now = now;
    const { groups } = source.failures;
    const failed = source.failed;
    const tasks = source.kind === "pipeline" ? "item" : "task";
    hide($("failures"), groups.length === 0);
    hide($("no-failures"), groups.length > 0 || failed > 0);
    const done = source.kind === "pipeline" ? source.figures?.results : source.figures?.succeeded;
    text(
      $("no-failures-note"),
      done > 0 ? `${plural(done, tasks)} finished without an error.` : `No ${tasks} has finished yet.`,
    );
    text(
      $("failures-note"),
      failed > 0
        ? `${plural(failed, tasks)} failed, for ${plural(groups.filter((g) => g.failed > 0).length, "reason")}`
        : groups.length > 0
          ? `no ${tasks} failed for good`
          : "",
    );
    if (this.chosen == null) this.offer(source);
    this.table.update(groups);
    this.group.render(now, connection);
  }

  // offer shows the first kind before somebody chooses one, where there is room
  // for it beside the table; it stays when another one becomes the first.
  offer(source) {
    const { groups } = source.failures;
    const kind = groups.find((g) => g.key === this.group.key) ?? this.table.sorted(groups)[0];
    this.group.show(source, wide.matches && kind ? kind.key : null, false);
  }

  paintError(cell, g) {
    if (!cell.link) {
      cell.link = h("a", { class: "kind" });
      cell.words = h("span", { class: "second" });
      cell.append(cell.link, cell.words);
    }
    theirs(cell.link, g.kind || g.text, "(no text)");
    theirs(cell.words, g.text === g.kind ? "" : g.text, "");
    set(cell.link, "href", href("failures", this.source.index, { key: g.key }));
  }

  paintTime(cell, t) {
    text(cell, t == null ? "" : ago(this.now - t));
    set(cell, "title", t == null ? null : new Date(t).toLocaleString());
  }
}

function paintFailed(cell, g) {
  if (!cell.figure) {
    cell.icon = icon("failed");
    cell.figure = h("b");
    cell.append(h("span", { class: "stated" }, cell.icon, cell.figure));
  }
  // What never failed for good was saved by a retry.
  const state = g.failed > 0 ? "failed" : "retrying";
  set(cell.firstChild, "class", `stated s-${state}`);
  setIcon(cell.icon, state);
  text(cell.figure, count(g.failed));
}
