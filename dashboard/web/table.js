// Tables whose rows are kept by key, with headers that sort.

import { h, icon, set, text, hide } from "./dom.js";
import { count, plural } from "./format.js";

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function compare(a, b) {
  const noA = a == null || Number.isNaN(a),
    noB = b == null || Number.isNaN(b);
  if (noA || noB) return noA - noB; // nothing comes last, whatever the direction
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
}

// A Table shows rows. A column is {id, label, value, paint}: value(row) is what
// it is sorted by, and its text unless paint(cell, row) makes something else of
// it. Further: num (right-aligned), hint (a title), rank (2 and 3 give way on
// narrower pages), first (the direction that the first click sorts in), fixed
// (it doesn't sort).
export class Table {
  constructor(
    host,
    { id, label, columns, key, sort = null, cap = 100, empty = "Nothing here.", mark = null, noun = "row" },
  ) {
    Object.assign(this, { columns, key, sort, cap, mark, noun });
    this.rows = [];
    this.kept = new Map();
    this.body = h("tbody");
    this.heads = new Map();
    const head = h(
      "tr",
      null,
      columns.map((c) => this.header(c)),
    );
    this.table = h(
      "table",
      { "data-table": id },
      h("caption", { class: "vh" }, label),
      h("thead", null, head),
      this.body,
    );
    // It scrolls sideways where it has to, so the keyboard must reach it.
    this.scroll = h(
      "div",
      { class: "scroll", role: "region", tabindex: "0", "aria-label": `${label}, a table` },
      this.table,
    );
    this.empty = h("p", { class: "quiet" }, empty);
    this.more = h("p", { class: "quiet more" });
    host.append(this.scroll, this.empty, this.more);
    this.showSort();
    hide(this.more, true);
  }

  header(c) {
    const th = h("th", { scope: "col", "data-col": c.id, class: classes(c), title: c.hint });
    this.heads.set(c.id, th);
    if (c.fixed) th.append(c.label);
    else
      th.append(
        h("button", { type: "button", onclick: () => this.sortBy(c) }, h("span", null, c.label), icon("sort")),
      );
    return th;
  }

  sortBy(c) {
    const first = c.first ?? (c.num ? "descending" : "ascending");
    const other = first === "ascending" ? "descending" : "ascending";
    this.sort = { by: c.id, dir: this.sort?.by === c.id && this.sort.dir === first ? other : first };
    this.showSort();
    this.update(this.rows, true);
  }

  showSort() {
    for (const c of this.columns) {
      if (!c.fixed) set(this.heads.get(c.id), "aria-sort", this.sort?.by === c.id ? this.sort.dir : "none");
    }
  }

  sorted(rows) {
    const c = this.sort && this.columns.find((x) => x.id === this.sort.by);
    if (!c) return rows;
    const sign = this.sort.dir === "descending" ? -1 : 1;
    return rows
      .map((row) => [c.value(row), row])
      .sort(([a], [b]) => (a == null || b == null ? compare(a, b) : sign * compare(a, b)))
      .map(([, row]) => row);
  }

  // update shows these rows. While the pointer or the focus is on a row, rows
  // keep their places: nobody should hit a link that has just moved there.
  update(rows, force = false) {
    this.rows = rows;
    let list = this.sorted(rows);
    const total = list.length;
    if (!force && this.held()) list = this.inPlace(list);
    list = list.slice(0, this.cap);
    const seen = new Set();
    let at = this.body.firstElementChild;
    for (const row of list) {
      const key = this.key(row);
      if (seen.has(key)) continue;
      seen.add(key);
      let kept = this.kept.get(key);
      if (!kept) this.kept.set(key, (kept = this.make(key)));
      if (kept.tr === at) at = at.nextElementSibling;
      else this.body.insertBefore(kept.tr, at);
      this.paint(kept, row);
    }
    for (const [key, kept] of this.kept) {
      if (seen.has(key)) continue;
      kept.tr.remove();
      this.kept.delete(key);
    }
    hide(this.scroll, total === 0);
    hide(this.empty, total > 0);
    hide(this.more, total <= this.cap);
    if (total > this.cap) text(this.more, `${count(this.cap)} of ${plural(total, this.noun)} shown`);
  }

  held() {
    return this.body.matches(":hover") || this.body.contains(document.activeElement);
  }

  inPlace(list) {
    const byKey = new Map(list.map((row) => [this.key(row), row]));
    const stay = [];
    for (const tr of this.body.children) {
      const row = byKey.get(tr.key);
      if (row) stay.push(row);
      byKey.delete(tr.key);
    }
    return stay.concat([...byKey.values()]);
  }

  make(key) {
    const cells = this.columns.map((c) =>
      h(c.header ? "th" : "td", { class: classes(c), scope: c.header ? "row" : null }),
    );
    const tr = h("tr", { "data-key": String(key).slice(0, 200) }, cells);
    tr.key = key;
    return { tr, cells };
  }

  paint({ tr, cells }, row) {
    this.columns.forEach((c, i) => {
      if (c.paint) c.paint(cells[i], row);
      else text(cells[i], String(c.show ? c.show(row) : (c.value(row) ?? "")));
    });
    this.mark?.(tr, row);
  }
}

const classes = (c) => [c.num && "num", c.rank && `rank-${c.rank}`, c.class].filter(Boolean).join(" ") || null;
