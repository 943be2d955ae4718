// The page: one model, one feed that changes it, one view that shows it. All
// drawing goes through refresh, at most once a frame, however many messages
// come; a page that isn't visible gets no frames and so draws nothing.

import { $, h, hide, set, setIcon, text, theirs } from "./dom.js";
import { about, count, plural, rate } from "./format.js";
import { Feed } from "./feed.js";
import { Model } from "./state.js";
import { go, href, parse } from "./route.js";
import { startTheme } from "./theme.js";
import { verdictOf } from "./verdict.js";
import { Overview } from "./overview.js";
import { Tasks } from "./tasks.js";
import { Workers } from "./workers.js";
import { Processes } from "./processes.js";
import { Stages } from "./stages.js";
import { Failures } from "./failures.js";
import { Drawer } from "./drawer.js";

const quietFor = 5000; // ms between two announcements
const stale = 3000; // ms without data that are worth a word
const views = {
  executor: ["overview", "tasks", "workers", "failures"],
  pipeline: ["overview", "stages", "tasks", "failures"],
  cluster: ["overview", "workers"],
};
// The verdicts that are announced.
const worthy = ["Idle", "Over", "Stuck?", "Not moving", "No answer", "Not served", "Full", "Nearly full", "Cut off"];
const connections = {
  connecting: { icon: "retrying", words: "Connecting…" },
  live: { icon: "live", words: "Live" },
  reconnecting: { icon: "retrying", words: "Reconnecting…" },
  paused: { icon: "pause", words: "Paused" },
};

class App {
  constructor() {
    startTheme();
    this.model = new Model();
    this.moved = false; // somebody went somewhere since the page was loaded
    this.views = {
      overview: new Overview(this),
      tasks: new Tasks(this),
      workers: new Workers(this, new Processes()),
      stages: new Stages(this),
      failures: new Failures(this),
    };
    this.drawer = new Drawer(this);
    this.feed = new Feed("events", {
      hear: (kind, m) => this.hear(kind, m),
      changed: () => this.connectionChanged(),
    });
    addEventListener("hashchange", () => this.moveTo());
    $("pause").addEventListener("click", () => this.pause(this.model.frozen == null));
    $("source").addEventListener("change", () => this.choose(Number($("source").value)));
    $("skip").addEventListener("click", (e) => {
      e.preventDefault(); // the hash is a place of ours
      $("main").focus();
    });
    setInterval(() => this.refresh(), 1000); // ages tick
    setInterval(() => this.sample(), 500);
    this.pause(false);
    this.moveTo();
    this.feed.open();
  }

  // While paused, the connection stays, so that the server goes on to collect;
  // but the model stands still, as memory does. What was missed comes with the
  // first message of a new connection.
  hear(kind, m) {
    if (this.model.frozen != null) return;
    this.model[kind](m);
    if (kind === "hello") {
      this.greeted();
      this.moveTo();
    }
    this.refresh();
  }

  pause(on) {
    const { model } = this;
    const button = $("pause");
    set(button, "aria-pressed", on);
    set(button, "title", on ? "Go on with the live updates" : "Stop the live updates");
    setIcon(button.firstElementChild, on ? "running" : "pause");
    text(button.lastElementChild, on ? "Resume" : "Pause");
    set(document.body, "data-paused", on ? "" : null);
    if (on === (model.frozen != null)) return;
    model.frozen = on ? model.now() : null;
    if (!on) this.feed.open();
    this.say(on ? "Paused" : "Live again");
    this.refresh();
  }

  sample() {
    if (this.model.frozen != null || this.feed.state !== "live") return;
    for (const s of this.model.sources) s.sample(this.model.now());
  }

  greeted() {
    const { title, sources } = this.model;
    theirs($("title"), title, "antflow");
    hide($("picker"), sources.length < 2);
    set(document.body, "data-sources", sources.length < 2 ? null : sources.length);
    $("source").replaceChildren(
      ...sources.map((s, i) =>
        h(
          "option",
          { value: i },
          `${s.name.slice(0, 60) || "(no name)"}${s.kind === "executor" ? "" : ` · ${s.kind}`}`,
        ),
      ),
    );
    this.sample();
  }

  choose(index) {
    const view = views[this.model.sources[index].kind].includes(this.route.view) ? this.route.view : "overview";
    go(href(view, index));
  }

  // moveTo shows what the address says.
  moveTo() {
    const before = this.route;
    this.route = parse(location.hash);
    const source = this.source;
    if (!source) return;
    const { kind } = source;
    if (!views[kind].includes(this.route.view)) this.route.view = "overview";
    const { view } = this.route;
    for (const name of Object.keys(this.views)) hide($(`view-${name}`), name !== view);
    for (const a of document.querySelectorAll(".tabs a")) {
      hide(a.parentElement, !views[kind].includes(a.dataset.view));
      set(a, "href", href(a.dataset.view, source.index));
      set(a, "aria-current", a.dataset.view === view ? "page" : null);
      if (a.dataset.view === "tasks") text(a, kind === "pipeline" ? "Items" : "Tasks");
    }
    $("source").value = source.index;
    this.views[view].show(source, this.route);
    this.drawer.show(source, this.route);
    if (before && before.view !== view && this.shownView) {
      this.moved = true;
      scrollTo(0, 0);
      $(`h-${view}`).focus({ preventScroll: true });
    } else if (this.shownView) this.moved = true;
    this.shownView = view;
    this.refresh();
  }

  get source() {
    const { sources } = this.model;
    return sources[this.route.source] ?? sources[0];
  }

  get connection() {
    return this.model.frozen != null ? "paused" : this.feed.state;
  }

  connectionChanged() {
    this.say(connections[this.connection].words);
    this.refresh();
  }

  refresh() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.render();
    });
  }

  render() {
    this.showConnection();
    const { source } = this;
    if (!source) return;
    const now = this.model.now();
    const more = { connection: this.connection, version: `${source.version} ${Math.floor(now / 1000)}` };
    this.views[this.shownView].render(source, now, more);
    this.drawer.render(source, now, more);
    this.showHead(source);
  }

  showConnection() {
    const { connection } = this;
    const { icon, words } = connections[connection];
    const el = $("connection");
    const quiet = this.model.arrived == null ? 0 : Date.now() - this.model.arrived;
    const aged = this.model.arrived != null && connection !== "connecting" && quiet > stale;
    set(el, "data-state", connection);
    setIcon(el.querySelector("svg"), icon);
    text(
      $("connection-text"),
      aged ? `${words}${connection === "reconnecting" ? "" : " ·"} data ${about(quiet)} old` : words,
    );
  }

  showHead(source) {
    const { failed } = source;
    hide($("failed-badge"), failed === 0);
    text($("failed-badge"), count(failed));
    const title = [
      source.figures && `${rate(source.rate)}/s`,
      failed > 0 && `${count(failed)} failed`,
      this.model.title || "antflow",
    ];
    const words = title.filter(Boolean).join(" · ");
    const now = Date.now();
    if (words !== document.title && now - (this.titled ?? 0) > 1000) {
      this.titled = now;
      document.title = words;
    }
    this.announce(source, failed);
  }

  // announce says what changes for the worse: further failures, several at once,
  // and that nothing moves any more.
  announce(source, failed) {
    const { word } = verdictOf(source, this.model.now());
    const known = this.told?.source === source.index ? this.told : null;
    if (known?.failed === failed && known.word === word) return;
    const news = [];
    if (known && failed > known.failed)
      news.push(`${plural(failed - known.failed, "more failure")}, ${count(failed)} in all`);
    if (known && word !== known.word && worthy.includes(word)) news.push(word);
    if (news.length > 0 && !this.say(news.join(". "), true)) return; // later
    this.told = { source: source.index, failed, word };
  }

  // say is for those who listen to the page. What comes in a stream waits its
  // turn, or nothing else could be heard.
  say(words, patient = false) {
    const now = Date.now();
    if (patient && now - (this.said ?? 0) < quietFor) return false;
    this.said = now;
    text($("say"), words);
    return true;
  }

  // notify is for everybody: the answer to what somebody did.
  notify(words) {
    const el = $("notice");
    text(el, words);
    hide(el, false);
    clearTimeout(this.noticed);
    this.noticed = setTimeout(() => hide(el, true), 8000);
  }
}

new App();
