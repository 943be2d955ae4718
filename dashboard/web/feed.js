// The connection to the server: its messages, and what can be said of it.

const patience = 12_000; // without a message; the server sends several a second
const mostDelay = 8000;

// A Feed calls hear(kind, message) for each message, and changed() when its
// state has become another one: connecting, live or reconnecting.
export class Feed {
  constructor(url, { hear, changed }) {
    Object.assign(this, { url, hear, changed });
    this.state = "connecting";
    this.delay = 500;
    this.last = Date.now();
    setInterval(() => this.check(), 1000);
    addEventListener("online", () => this.state !== "live" && this.open());
    addEventListener("pagehide", () => this.source?.close());
    addEventListener("pageshow", (e) => e.persisted && this.open());
  }

  // open begins anew: the first message has everything.
  open() {
    clearTimeout(this.timer);
    this.source?.close();
    const source = (this.source = new EventSource(this.url));
    this.last = Date.now();
    for (const kind of ["hello", "tick", "detail"]) {
      source.addEventListener(kind, (e) => {
        if (source !== this.source) return;
        this.last = Date.now();
        if (kind === "hello") this.delay = 500;
        this.hear(kind, JSON.parse(e.data));
        if (this.state !== "live" && kind === "hello") this.become("live");
      });
    }
    // EventSource tries again by itself after seconds, but never again after an
    // answer like 503, as a server gives that shuts down. So we do it ourselves.
    source.addEventListener("error", () => source === this.source && this.retry());
  }

  retry() {
    this.source.close();
    this.become("reconnecting");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), this.delay);
    this.delay = Math.min(this.delay * 2, mostDelay);
  }

  // A connection can be dead without an error, as after a laptop's sleep.
  check() {
    if (this.state === "live" && Date.now() - this.last > patience) this.retry();
  }

  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.changed();
  }
}
