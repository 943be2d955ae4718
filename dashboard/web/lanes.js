// The lanes of the task stream, on a canvas.

import { color, nameColor } from "./theme.js";
import { CANCELED, FAILED, RETRYING } from "./spans.js";
import { drawAxis, drawUnseen } from "./axis.js";
import { goesOn } from "./tip.js";

const mostMarks = 4000;
const font = "11px system-ui, sans-serif";

// laneHeight is such that a few lanes are comfortable, and 64 fit on a page.
export const laneHeight = (lanes) => Math.max(7, Math.min(22, Math.floor(440 / lanes)));

const outcomes = ["succeeded", "failed", "retrying", "canceled"];

export function drawLanes(v) {
  const { c, lane, lanes, left, right } = v;
  c.font = font;
  c.textBaseline = "middle";
  const gap = lane > 9 ? 2 : 1;
  c.fillStyle = color("--lane");
  for (let w = 0; w < lanes; w++) c.fillRect(left, w * lane, right - left, lane - gap);
  drawUnseen(v);
  drawLabels(v);
  c.save();
  c.beginPath();
  c.rect(left, 0, right - left, v.inner);
  c.clip();
  const marks = drawEnded(v, gap);
  drawRunning(v, gap);
  drawMarks(v, marks, gap);
  drawChosen(v, gap);
  c.restore();
  drawAxis(v);
}

function drawLabels({ c, source, lane, lanes, left }) {
  const stuck = new Set(source.workers.rows.filter((w) => w.stuck).map((w) => w.w));
  const step = Math.max(1, Math.ceil(13 / lane)); // labels that don't overlap
  c.font = font;
  c.textAlign = "right";
  for (let w = 0; w < lanes; w++) {
    if (w % step !== 0 && !stuck.has(w)) continue;
    c.fillStyle = color(stuck.has(w) ? "--c-stuck" : "--text-3");
    c.fillText(stuck.has(w) ? `!${w}` : String(w), left - 7, w * lane + lane / 2 - 0.5);
  }
  c.textAlign = "left";
}

// drawEnded draws what has ended, the latest first. Where several attempts of a
// worker are on one pixel the first of them is all that is seen; to know that
// saves most of the work at thousands a second.
function drawEnded(v, gap) {
  const { c, source, lane, x, from, now, matches } = v;
  const { spans } = source;
  const covered = new Float64Array(v.lanes).fill(Infinity); // the leftmost pixel that is drawn
  const fills = [];
  const marks = [];
  const faint = color("--faint"),
    ink = color("--on-name");
  spans.back(from, (i, n) => {
    const worker = spans.worker[i];
    if (worker < 0 || spans.from[i] > now) return;
    const x0 = x(spans.from[i]),
      x1 = x(spans.to[i]);
    const outcome = spans.outcome[i];
    const number = spans.name[i];
    const on = !matches || matches(spans.names[number], outcomes[outcome], spans.id[i]);
    if (on && outcome !== 0 && marks.length < mostMarks) marks.push(n);
    if (x0 >= covered[worker] - 0.5 && x1 - x0 < 1) return;
    covered[worker] = Math.min(covered[worker], x0);
    c.fillStyle = on ? (fills[number] ??= nameColor(source.colorOf(spans.names[number]))) : faint;
    const width = x1 - x0;
    // A hair between two attempts, as far as there is room for one.
    c.fillRect(x0, worker * lane, width > 3 ? width - 1 : Math.max(width, 0.8), lane - gap);
    if (on && lane >= 14 && width > 44)
      label(
        c,
        ink,
        spans.names[number],
        Math.max(x0, v.left),
        worker * lane + (lane - gap) / 2,
        x1 - Math.max(x0, v.left) - (outcome ? 18 : 6),
      );
  });
  return marks;
}

function label(c, ink, name, x, y, room) {
  const fits = Math.floor((room - 5) / 6.2);
  if (fits < 4) return;
  c.fillStyle = ink;
  c.fillText(name.length > fits ? `${name.slice(0, fits - 1)}…` : name, x + 5, y);
}

function drawRunning(v, gap) {
  const { c, source, lane, x, from, now, matches } = v;
  for (const w of source.workers.rows) {
    if (w.w < 0 || w.w >= v.lanes) continue;
    const x0 = x(Math.max(w.since, from)),
      x1 = x(now),
      y = w.w * lane,
      high = lane - gap;
    const on = !matches || matches(w.name, w.blocked ? "blocked" : "running", w.id);
    c.fillStyle = on ? nameColor(source.colorOf(w.name)) : color("--faint");
    c.fillRect(x0, y, Math.max(1, x1 - x0), high);
    if (w.blocked) hatch(c, x0, y, x1 - x0, high);
    else if (on && lane >= 14) label(c, color("--on-name"), w.name, x0, y + high / 2, x1 - x0 - 6);
    // What goes on is open to the right.
    c.fillStyle = color("--text");
    c.fillRect(x1 - 1.5, y, 1.5, high);
    if (!w.stuck) continue;
    c.strokeStyle = color("--c-stuck");
    c.lineWidth = 2;
    c.strokeRect(x0 + 1, y + 1, x1 - x0 - 2, high - 2);
  }
}

// hatch says that the task has lent its slot.
function hatch(c, x, y, width, high) {
  c.save();
  c.beginPath();
  c.rect(x, y, width, high);
  c.clip();
  c.strokeStyle = color("--lane");
  c.lineWidth = 2.5;
  c.beginPath();
  for (let at = x - high; at < x + width; at += 7) {
    c.moveTo(at, y + high);
    c.lineTo(at + high, y);
  }
  c.stroke();
  c.restore();
}

// drawMarks shows how those ended that didn't succeed: a failure by a bar of
// full height and a cross, a retry by half a bar and a ring, a cancellation by a
// thin one and a slash.
function drawMarks(v, marks, gap) {
  const { c, source, lane, x } = v;
  const { spans } = source;
  const high = lane - gap;
  c.lineWidth = 1.6;
  for (const n of marks.reverse()) {
    const a = spans.at(n);
    const o = outcomes.indexOf(a.state);
    const x0 = x(a.from),
      x1 = Math.max(x(a.to) - 1, x0 + 1),
      y = a.worker * lane;
    c.fillStyle = color(o === FAILED ? "--m-failed" : o === RETRYING ? "--m-retrying" : "--m-canceled");
    if (o === FAILED) c.fillRect(x1 - 3, y, 3, high);
    if (o === RETRYING) c.fillRect(x1 - 3, y + high / 2, 3, high / 2);
    if (o === CANCELED) c.fillRect(x1 - 1.5, y, 1.5, high);
    if (x1 - x0 < 18 || lane < 10) continue;
    const cx = x1 - 10,
      cy = y + high / 2,
      r = 3.2;
    c.fillRect(cx - 6, cy - 6, 10, 12);
    c.strokeStyle = color("--bg");
    c.beginPath();
    if (o === FAILED) {
      c.moveTo(cx - 4, cy - r);
      c.lineTo(cx + 2.4, cy + r);
      c.moveTo(cx + 2.4, cy - r);
      c.lineTo(cx - 4, cy + r);
    } else if (o === RETRYING) c.arc(cx - 1, cy, 2.8, 0, 7);
    else {
      c.moveTo(cx - 4, cy + r);
      c.lineTo(cx + 2.4, cy - r);
    }
    c.stroke();
  }
}

function drawChosen(v, gap) {
  const { c, chosen, x, lane } = v;
  if (!chosen) return;
  const x0 = Math.max(x(chosen.from), v.left - 2),
    x1 = x(goesOn(chosen) ? v.now : chosen.to);
  c.strokeStyle = color("--text");
  c.lineWidth = 2;
  c.strokeRect(x0 - 0.5, chosen.worker * lane, Math.max(3, x1 - x0), lane - gap);
}
