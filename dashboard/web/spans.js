// The attempts that the task stream shows: columns of numbers in a ring, so that
// hours of thousands a second neither grow nor leave garbage.

const kept = 1 << 15;
const mostNames = 1024;
const outcomes = ["succeeded", "failed", "retrying", "canceled"];

export const [FAILED, RETRYING, CANCELED] = [1, 2, 3]; // by their places there

export class Spans {
  constructor() {
    this.end = 0; // of all that were pushed; the ring has the last ones
    this.worker = new Int32Array(kept);
    this.id = new Float64Array(kept);
    this.name = new Uint16Array(kept);
    this.from = new Float64Array(kept);
    this.to = new Float64Array(kept);
    this.outcome = new Uint8Array(kept);
    this.attempt = new Uint16Array(kept);
    this.names = ["(other)"]; // what the numbers stand for; names are of any number, so the rest share the first
    this.numbers = new Map();
    this.skipped = []; // [t, shown, skipped] of recent messages
    this.latest = 0; // the latest end
    this.heard = null; // when the last message came
    this.gaps = []; // [from, to] in which nobody listened
  }

  // push takes the rows of a message. The first message of a connection repeats
  // what the last one had, so what isn't later than all before is known.
  push(t, rows, skipped, again) {
    const known = again ? this.latest : -1;
    if (again) this.resume(t, rows);
    this.heard = t;
    for (const [worker, id, name, from, to, outcome, attempt] of rows) {
      if (to <= known) continue;
      const i = this.end++ & (kept - 1);
      this.worker[i] = worker;
      this.id[i] = id;
      this.name[i] = this.number(name);
      this.from[i] = from;
      this.to[i] = to;
      this.outcome[i] = Math.max(0, outcomes.indexOf(outcome));
      this.attempt[i] = attempt;
      if (to > this.latest) this.latest = to;
    }
    this.skipped.push([t, rows.length, skipped]);
    if (this.skipped.length > 600) this.skipped.splice(0, 300);
  }

  // resume notes the time of which nothing is known: until the connection was
  // made, or between two.
  resume(t, rows) {
    const until = rows.reduce((least, row) => Math.min(least, row[4]), t);
    if (until > (this.heard ?? -Infinity)) this.gaps.push([this.heard ?? -Infinity, until]);
    if (this.gaps.length > 32) this.gaps.shift();
  }

  number(name) {
    let n = this.numbers.get(name);
    if (n === undefined) {
      if (this.names.length >= mostNames) return 0;
      n = this.names.push(name) - 1;
      this.numbers.set(name, n);
    }
    return n;
  }

  get first() {
    return Math.max(0, this.end - kept);
  }

  // at makes an object of the n-th attempt.
  at(n) {
    const i = n & (kept - 1);
    return {
      worker: this.worker[i],
      id: this.id[i],
      name: this.names[this.name[i]],
      number: this.name[i],
      from: this.from[i],
      to: this.to[i],
      state: outcomes[this.outcome[i]],
      attempt: this.attempt[i],
    };
  }

  // back calls fn(index in the columns, n) for those that ended at or after
  // since, the latest first. Messages come in the order of ends, nearly: the
  // slack covers two messages.
  back(since, fn) {
    for (let n = this.end - 1; n >= this.first; n--) {
      const i = n & (kept - 1);
      if (this.to[i] < since - 2000) return;
      if (this.to[i] >= since) fn(i, n);
    }
  }

  has(id) {
    return this.end > 0 && this.id.includes(id);
  }

  // sampled is how many of the attempts since then are here, as a part of all.
  sampled(since) {
    let shown = 0,
      skipped = 0;
    for (let i = this.skipped.length - 1; i >= 0 && this.skipped[i][0] >= since; i--) {
      shown += this.skipped[i][1];
      skipped += this.skipped[i][2];
    }
    return shown + skipped === 0 ? 1 : shown / (shown + skipped);
  }

  // unseen is the times since from of which nothing is known: a lane that is
  // empty there would say that its worker was idle.
  unseen(from) {
    const forgotten = this.end > kept ? [[-Infinity, this.to[this.first & (kept - 1)]]] : [];
    return [...forgotten, ...this.gaps].filter(([, to]) => to > from).map(([a, b]) => [Math.max(a, from), b]);
  }
}
