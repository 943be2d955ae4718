// What the charts are drawn from: the recent past of figures, in bounded memory.

const kept = 1200; // as many as the server has: five minutes
const gap = 5000; // ms without a tick that are more than a delay

// A Series has a column of values for each key, beside the times.
export class Series {
  constructor() {
    this.t = [];
    this.columns = new Map();
  }

  // push adds the values of an instant, and reports whether it is a later one. A
  // key that is new has no values before, and none has where nobody listened.
  push(t, values) {
    const last = this.t.at(-1) ?? t - 1;
    if (t <= last) return false; // known since before a reconnect, or the clock was set back
    if (t - last > gap && this.t.length > 0) this.push(last + 1, {});
    for (const key of Object.keys(values)) {
      if (!this.columns.has(key)) this.columns.set(key, new Array(this.t.length).fill(null));
    }
    this.t.push(t);
    for (const [key, column] of this.columns) column.push(values[key] ?? null);
    // Now and then many at once, for to shift an array costs all of its length.
    if (this.t.length < kept * 1.25) return true;
    const excess = this.t.length - kept;
    this.t.splice(0, excess);
    for (const column of this.columns.values()) column.splice(0, excess);
    return true;
  }

  // put gives what was pushed last a further value, one that depends on it.
  put(key, value) {
    let column = this.columns.get(key);
    if (!column) this.columns.set(key, (column = new Array(this.t.length).fill(null)));
    column[this.t.length - 1] = value;
  }

  get length() {
    return this.t.length;
  }

  // column is there even when nothing was pushed for it.
  column(key) {
    return this.columns.get(key) ?? new Array(this.t.length).fill(null);
  }

  last(key) {
    return this.columns.get(key)?.at(-1) ?? null;
  }

  // since is the index of the first value that is at least that recent.
  since(t) {
    let i = this.t.length;
    while (i > 0 && this.t[i - 1] >= t) i--;
    return i;
  }

  // smooth is the geometric mean of the values of the last ms, or null: times
  // spread over decades, and a median of three tasks says little.
  smooth(key, ms) {
    const column = this.columns.get(key);
    const end = this.t.length - 1;
    let sum = 0,
      n = 0;
    for (let i = end; column && i >= 0 && this.t[i] > this.t[end] - ms; i--) {
      if (column[i] == null) continue;
      sum += Math.log(Math.max(column[i], 1e-4));
      n++;
    }
    return n > 0 ? Math.exp(sum / n) : null;
  }

  // slope is the growth of a counter in a second, over the last ms: unlike the
  // count of one tick it doesn't flicker between 0 and 4 where a task ends each
  // second. It is null before there is anything to compare with.
  slope(key, ms) {
    const column = this.columns.get(key);
    const end = this.t.length - 1;
    let i = end;
    while (i > 0 && this.t[i] > this.t[end] - ms && column?.[i - 1] != null) i--;
    if (!column || i >= end) return null;
    const grown = column[end] - column[i];
    return grown >= 0 ? (grown * 1000) / (this.t[end] - this.t[i]) : null;
  }
}

const samples = 480; // four minutes

// Shares keeps how many tasks of each name ran at a time, as a sampling profiler
// does: their sum over a minute is where the workers' time went, and neither
// very short nor very long tasks bias it.
export class Shares {
  constructor() {
    this.samples = []; // {t, slots, counts: [name, running, name, running, …]}
  }

  push(t, slots, counts) {
    this.samples.push({ t, slots, counts });
    if (this.samples.length >= samples * 1.25) this.samples.splice(0, this.samples.length - samples);
  }

  // over is what part of the slots' time each name had since then.
  over(since) {
    const sums = new Map();
    let slots = 0,
      from = null;
    for (let i = this.samples.length - 1; i >= 0 && this.samples[i].t >= since; i--) {
      const s = this.samples[i];
      from = s.t;
      let running = 0;
      for (let k = 0; k < s.counts.length; k += 2) {
        sums.set(s.counts[k], (sums.get(s.counts[k]) ?? 0) + s.counts[k + 1]);
        running += s.counts[k + 1];
      }
      slots += Math.max(s.slots, running); // blocked tasks have no slot, but their worker
    }
    const parts = [...sums].map(([name, sum]) => ({ name, part: sum / slots })).sort((a, b) => b.part - a.part);
    const used = parts.reduce((sum, p) => sum + p.part, 0);
    return { from, parts, idle: slots > 0 ? Math.max(0, 1 - used) : null };
  }
}
