// Does it move? One word for the state of a source, and the reason.

import { about, ago, count, duration, plural } from "./format.js";
import { troublesOf } from "./troubles.js";

const recently = 2000;
const lately = 4000; // a cluster is asked once a second, and takes its time

// verdictOf is {word, icon, note}; the icon names a shape and a colour as the
// states do.
export function verdictOf(source, now) {
  if (!source?.figures) return { word: "No data yet", icon: "idle", note: "" };
  return of[source.kind](source, now);
}

function ofExecutor(source, now) {
  const f = source.figures;
  const still = source.moved == null ? null : now - source.moved;
  const stuck = source.workers.rows.filter((w) => w.stuck).length;
  const since = still == null ? "nothing has finished yet" : `nothing finished for ${about(still)}`;
  const moving = still != null && still < recently;
  if (source.left === 0 && !moving) {
    // between two bursts of short tasks nothing may be left, either
    const note =
      f.submitted === 0
        ? "no task was submitted yet"
        : still == null
          ? "nothing is left to do"
          : `the last task finished ${ago(still)}`;
    return { word: "Idle", icon: "idle", note };
  }
  if (moving) {
    if (stuck > 0) return { word: "Moving", icon: "running", note: `but ${plural(stuck, "worker")} may be stuck` };
    return { word: "Moving", icon: "running", note: medians(source) };
  }
  if (stuck > 0) return { word: "Stuck?", icon: "stuck", note: `${plural(stuck, "worker")} far over the usual time` };
  if (f.running > 0) return { word: "Working", icon: "running", note: since };
  if (f.waiting > 0) return { word: "Waiting", icon: "waiting", note: "for permits, rate limits or retries" };
  return { word: "Not moving", icon: "stuck", note: since };
}

// medians says where the time of a usual task goes.
function medians(source) {
  const q = recent(source.series, "q50"),
    r = recent(source.series, "r50");
  if (r == null) return "";
  return q == null ? `median: runs ${duration(r)}` : `median: waits ${duration(q)}, runs ${duration(r)}`;
}

function recent(series, key) {
  const column = series.column(key);
  for (let i = column.length - 1; i >= 0 && i > column.length - 40; i--) if (column[i] != null) return column[i];
  return null;
}

function ofPipeline(source, now) {
  const f = source.figures;
  const still = source.moved == null ? null : now - source.moved;
  if (f.over) return { word: "Over", icon: "done", note: `everything came out in ${duration(f.elapsed)}` };
  if (f.inputs === 0) return { word: "Idle", icon: "idle", note: "nothing went in yet" };
  const held = f.bottleneck ? `“${f.bottleneck.slice(0, 40)}” holds up the others` : "no stage holds up the others";
  if (still != null && still < recently) return { word: "Moving", icon: "running", note: held };
  if (source.left === 0) return { word: "Idle", icon: "idle", note: "nothing is inside" };
  const since = still == null ? "nothing came out yet" : `nothing came out for ${about(still)}`;
  if (f.stages.some((st) => st.running > 0)) return { word: "Working", icon: "running", note: since };
  return { word: "Not moving", icon: "stuck", note: since };
}

// Of a cluster problems come first, whatever moves meanwhile.
function ofCluster(source, now) {
  const f = source.figures;
  const [worst, ...others] = troublesOf(source);
  if (worst) {
    const parts = [worst.text.slice(0, 200)];
    if (f.error && f.at != null) parts.push(`the figures are ${about(now - f.at)} old`);
    else if (others.length > 0) parts.push(`and ${plural(others.length, "further problem")}`);
    return { word: worst.word, icon: worst.icon, note: parts.join(" · ") };
  }
  const still = source.moved == null ? null : now - source.moved;
  const busy = `${count(f.running)} of ${plural(f.max, "slot")} busy`;
  if (still != null && still < lately) return { word: "Moving", icon: "running", note: busy };
  if (f.backlog === 0) return { word: "Idle", icon: "idle", note: "nothing is left to do" };
  const since = still == null ? "nothing has finished since somebody looks" : `nothing finished for ${about(still)}`;
  if (f.running > 0) return { word: "Working", icon: "running", note: `${busy} · ${since}` };
  if (f.taken > 0) return { word: "Waiting", icon: "waiting", note: "for retries, or for slots of the workers" };
  return { word: "Not moving", icon: "stuck", note: since };
}

const of = { executor: ofExecutor, pipeline: ofPipeline, cluster: ofCluster };
