// Figures as text. The page is in English, so its numbers are too, whatever the
// browser's language; only clock times are local.

export const nothing = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

// count is a number in full as long as it fits a counter.
export function count(n) {
  if (n == null || Number.isNaN(n)) return nothing;
  return Math.abs(n) < 1e7 ? whole.format(n) : compact.format(n);
}

// full is the number for a title, where count may have shortened it.
export const full = (n) => (n == null ? nothing : whole.format(n));

// short is a number for an axis.
export const short = (n) => (Math.abs(n) < 1e4 && Number.isInteger(n) ? whole.format(n) : compact.format(n));

// rate is a number a second, without its unit.
export function rate(n) {
  if (n == null) return nothing;
  if (n === 0) return "0";
  if (n < 0.1) return "<0.1";
  return n < 10 ? n.toFixed(1) : count(n);
}

export function percent(part) {
  if (part == null || Number.isNaN(part)) return nothing;
  const p = part * 100;
  if (p > 0 && p < 1) return "<1%";
  // 99.6% that still runs must not read as finished.
  return `${p < 100 ? Math.min(99, Math.round(p)) : 100}%`;
}

// duration is a time of any size in three digits, or two units.
export function duration(ms) {
  if (ms == null || Number.isNaN(ms)) return nothing;
  if (ms <= 0) return "0 s";
  if (ms < 0.001) return "<1 µs";
  if (ms < 0.9995) return `${digits(ms * 1000)} µs`;
  if (ms < 999.5) return `${digits(ms)} ms`;
  if (ms < 59950) return `${digits(ms / 1000)} s`;
  return long(ms / 1000);
}

// digits gives three of them, so that a column of them has one width.
const digits = (n) => (n < 9.995 ? n.toFixed(2) : n < 99.95 ? n.toFixed(1) : n.toFixed(0));

// age is a time that ticks: whole seconds, but for the first ones.
export function age(ms) {
  if (ms == null || Number.isNaN(ms)) return nothing;
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  return s < 60 ? `${Math.floor(s)} s` : long(s);
}

// about is a time that is only estimated, or no more than a hint.
export function about(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return "a moment";
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86400)} days`;
}

// ago is about for something that is over.
export const ago = (ms) => (ms < 1500 ? "just now" : `${about(ms)} ago`);

function long(s) {
  const units = [
    [86400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ];
  for (const [big, bigName, small, smallName] of units) {
    if (s < big) continue;
    const rest = Math.floor((s % big) / small);
    return `${Math.floor(s / big)} ${bigName} ${String(rest).padStart(big === 86400 ? 1 : 2, "0")} ${smallName}`;
  }
  return `${Math.floor(s)} s`;
}

const pad = (n, width = 2) => String(n).padStart(width, "0");

// clock is the local time of day of Unix milliseconds.
export function clock(ms, fine = false) {
  if (ms == null) return nothing;
  const d = new Date(ms);
  const text = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  return fine ? `${text}.${pad(d.getMilliseconds(), 3)}` : text;
}

// plural is "1 task" or "2 tasks".
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
