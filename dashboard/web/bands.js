// The task stream of many workers, where lanes would be hairs: above, how many
// workers were busy with what; below, how long attempts took, as bands from the
// shortest to the longest with the quartiles and the median inside. Both hold
// when the attempts are a sample: the first is counted, and an even sample has
// the quartiles of the whole.

import { color, colorProperty, nameColor } from "./theme.js";
import { count, duration, plural } from "./format.js";
import { FAILED, RETRYING } from "./spans.js";
import { drawAxis, drawUnseen } from "./axis.js";

const upper = 170,
  marks = 16,
  lower = 130;
const bins = 60;
const titled = 18; // px for the words above each part

export const bandHeight = upper + marks + lower;

export function drawBands(v, pointed) {
  const { c, left, right, x, inner } = v;
  c.font = "11px system-ui, sans-serif";
  c.textBaseline = "middle";
  c.fillStyle = color("--lane");
  c.fillRect(left, titled, right - left, upper - titled);
  c.fillRect(left, upper + marks + titled, right - left, lower - titled);
  drawUnseen(v);
  const times = timesOf(v.source, v.from, v.now);
  c.save();
  c.beginPath();
  c.rect(left, 0, right - left, inner);
  c.clip();
  drawBusy(v);
  drawMarks(v, times);
  const scale = drawSpread(v, times);
  c.restore();
  drawAxis(v);
  drawWords(v, scale);
  if (pointed == null) return;
  c.fillStyle = color("--text");
  c.fillRect(Math.round(x(pointed)) - 0.5, 0, 1, inner);
}

// drawBusy stacks the running tasks by name, those that have a colour of their
// own first.
function drawBusy(v) {
  const { c, source, x, now, from } = v;
  const { samples } = source.shares;
  const top = Math.max(v.lanes, 1);
  const y = (n) => upper - ((upper - titled) * Math.min(n, top)) / top;
  for (let i = samples.length - 1; i >= 0; i--) {
    const s = samples[i];
    // A sample holds until the next, but no more than a gap of the connection.
    const until = Math.min(samples[i + 1]?.t ?? now, s.t + 2000);
    if (until < from) return;
    let n = 0;
    for (const { color: k, running } of stack(source, s)) {
      c.fillStyle = nameColor(k);
      c.fillRect(x(s.t), y(n + running), x(until) - x(s.t) + 0.5, y(n) - y(n + running));
      n += running;
    }
  }
}

function stack(source, s) {
  const rows = new Map();
  for (let k = 0; k < s.counts.length; k += 2) {
    const n = source.colorOf(s.counts[k]);
    rows.set(n, (rows.get(n) ?? 0) + s.counts[k + 1]);
  }
  return [...rows]
    .map(([n, running]) => ({ color: n, running }))
    .sort((a, b) => (a.color < 0) - (b.color < 0) || a.color - b.color);
}

// timesOf has the times of the attempts that ended in each bin, sorted, and how
// many of them failed.
function timesOf(source, from, now) {
  const { spans } = source;
  const width = (now - from) / bins;
  const rows = Array.from({ length: bins }, (_, k) => ({
    t: from + k * width,
    until: from + (k + 1) * width,
    times: [],
    failed: 0,
    retrying: 0,
  }));
  spans.back(from, (i) => {
    const row = rows[Math.floor((spans.to[i] - from) / width)];
    if (!row) return;
    row.times.push(spans.to[i] - spans.from[i]);
    if (spans.outcome[i] === FAILED) row.failed++;
    if (spans.outcome[i] === RETRYING) row.retrying++;
  });
  for (const row of rows) {
    row.times.sort((a, b) => a - b);
    row.spread = spread(row.times);
  }
  return rows;
}

// spread is the shortest, the quartiles with the median, and the longest.
function spread(times) {
  if (times.length === 0) return null;
  return [0, 0.25, 0.5, 0.75, 1].map((q) => times[Math.round(q * (times.length - 1))]);
}

function drawMarks(v, rows) {
  const { c, x } = v;
  for (const row of rows) {
    const x0 = x(row.t),
      width = Math.max(2, x(row.until) - x0 - 1);
    if (row.retrying > 0) {
      c.fillStyle = color("--m-retrying");
      c.fillRect(x0, upper + marks / 2 + 1, width, marks / 2 - 3);
    }
    if (row.failed > 0) {
      c.fillStyle = color("--m-failed");
      c.fillRect(x0, upper + 2, width, marks - 4);
    }
  }
}

function drawSpread(v, rows) {
  const { c, x } = v;
  const known = rows.filter((r) => r.spread);
  if (known.length === 0) return null;
  const low = Math.max(1e-3, Math.min(...known.map((r) => r.spread[0]))),
    high = Math.max(...known.map((r) => r.spread[4]), low * 10);
  const base = upper + marks + lower,
    room = lower - titled - 4;
  const y = (ms) => base - 2 - (room * Math.log(Math.max(ms, low) / low)) / Math.log(high / low);
  for (const r of known) {
    const x0 = x(r.t),
      width = x(r.until) - x0 - 1;
    const bar = (from, to, property) => {
      c.fillStyle = color(property);
      c.fillRect(x0, y(to), width, Math.max(1, y(from) - y(to)));
    };
    bar(r.spread[0], r.spread[4], "--band-1");
    bar(r.spread[1], r.spread[3], "--band-2");
    c.fillStyle = color("--text");
    c.fillRect(x0, y(r.spread[2]) - 1, width, 2);
  }
  return { low, high, y };
}

function drawWords(v, scale) {
  const { c, left, right } = v;
  c.textAlign = "left";
  c.fillStyle = color("--text-2");
  c.fillText(`Busy workers by name, of ${count(v.lanes)}`, left, titled / 2);
  c.fillText(
    "Time of attempts: shortest to longest, quartiles, median",
    left,
    upper + marks + titled / 2,
    right - left,
  );
  c.fillStyle = color("--text-3");
  c.textAlign = "right";
  c.fillText("0", left - 6, upper - 5);
  c.fillText(count(v.lanes), left - 6, titled + 6);
  if (!scale) return;
  c.textAlign = "left";
  for (const ms of [scale.low, scale.high])
    c.fillText(duration(ms), left + 4, scale.y(ms) + (ms === scale.low ? -7 : 9));
}

// bandAt is what the bands show at a time: lines for the eye, and words.
export function bandAt({ source, from, now, span }, t) {
  const width = span / bins;
  const row = timesOf(source, from, now)[Math.min(bins - 1, Math.max(0, Math.floor((t - from) / width)))];
  const { samples } = source.shares;
  const s = samples.findLast((x) => x.t <= t) ?? samples[0];
  const lines = [],
    named = [];
  let busy = 0;
  for (let k = 0; k < (s?.counts.length ?? 0); k += 2) {
    busy += s.counts[k + 1];
    named.push([s.counts[k], s.counts[k + 1]]);
  }
  lines.push({ name: "busy workers", value: count(busy) });
  named.sort((a, b) => b[1] - a[1]);
  for (const [name, n] of named.slice(0, 5))
    lines.push({ name, value: count(n), color: colorProperty(source.colorOf(name)) });
  if (row?.spread)
    lines.push(
      { name: "median time", value: duration(row.spread[2]) },
      { name: "longest", value: duration(row.spread[4]) },
    );
  if (row?.failed > 0) lines.push({ name: "failed", value: count(row.failed) });
  const words = [plural(busy, "busy worker")];
  if (row?.spread) words.push(`median ${duration(row.spread[2])}, longest ${duration(row.spread[4])}`);
  if (row?.failed > 0) words.push(`${row.failed} failed`);
  return { lines, words: words.join(", ") };
}

// bandRows is the same as a table, the latest first.
export function bandRows(source, from, now) {
  const { samples } = source.shares;
  return timesOf(source, from, now)
    .reverse()
    .map((row, k) => {
      const s = samples.findLast((x) => x.t <= row.until);
      let busy = null;
      for (let i = 1; s && i < s.counts.length; i += 2) busy += s.counts[i];
      return { key: k, t: row.t, busy, failed: row.failed, spread: row.spread };
    })
    .filter((r) => r.spread || r.busy != null);
}
