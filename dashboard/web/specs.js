// What the charts of the overview show, by the kind of source.

import { count, duration, rate, short } from "./format.js";

export const line = (key, label, color, dash) => ({ key, label, color, dash });
const perSecond = (n) => `${rate(n)}/s`;
const quantileLines = (k) => [
  line(`${k}50`, "p50", "--q50"),
  line(`${k}95`, "p95", "--q95", "dashed"),
  line(`${k}99`, "p99", "--q99", "dotted"),
];
const throughput = { id: "throughput", title: "Throughput", kind: "lines", format: perSecond, axis: short };
const timed = { kind: "lines", log: true, format: duration, axis: axisTime };
const counted = { kind: "lines", format: count, axis: short };
const stacked = { kind: "stack", format: count, axis: short };

// An axis has no room for three digits, and its labels are powers of ten.
function axisTime(ms) {
  if (ms >= 1e3) return `${short(Math.round(ms / 1e3))} s`;
  return ms >= 0.9999 ? `${Math.round(ms)} ms` : `${Math.round(ms * 1e3)} µs`;
}

export const charts = {
  executor: [
    {
      ...throughput,
      series: [
        { ...line("rate", "finished", "--accent"), fill: "--accent-fill" },
        { ...line("failing", "failed", "--c-failed", "dashed"), unlessZero: true },
      ],
    },
    {
      ...stacked,
      id: "depth",
      title: "Tasks by state",
      series: [
        line("running", "running", "--f-running"),
        line("blocked", "blocked", "--f-blocked"),
        line("waiting", "waiting", "--f-waiting"),
        line("queued", "queued", "--f-queued"),
      ],
    },
    { ...timed, id: "queueing", title: "Time in the queue", series: quantileLines("q") },
    { ...timed, id: "running", title: "Running time", series: quantileLines("r") },
  ],
  pipeline: [
    { ...throughput, series: [{ ...line("rate", "results", "--accent"), fill: "--accent-fill" }] },
    {
      ...stacked,
      id: "inside",
      title: "Items inside by state",
      series: [
        line("running", "running", "--f-running"),
        line("delayed", "delayed", "--f-retrying"),
        line("waiting", "waiting", "--f-waiting"),
        line("held", "held", "--f-queued"),
      ],
    },
    { ...stacked, id: "waiting", title: "Waiting by stage", series: [] },
    { ...throughput, id: "stages", title: "Visits by stage", series: [] },
  ],
  cluster: [
    { ...throughput, series: [{ ...line("rate", "finished", "--accent"), fill: "--accent-fill" }] },
    { ...stacked, id: "waiting", title: "Waiting by queue", series: [] },
    {
      ...counted,
      id: "taken",
      title: "Tasks at workers",
      series: [
        line("taken", "taken", "--accent"),
        line("running", "running", "--q95", "dashed"),
        { ...line("redelivered", "redelivered", "--q99", "dotted"), unlessZero: true },
      ],
    },
    { ...counted, id: "backlog", title: "Backlog", series: [] },
  ],
};
