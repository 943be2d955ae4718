// What is wrong with a cluster, the worst first.

import { percent, plural } from "./format.js";

const nearlyFull = 0.9; // of the limit of the backlog

// short is as much of a name as a sentence has room for.
const short = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);

const wait = (n) => `${plural(n, "task")} ${n === 1 ? "waits" : "wait"}`;

// troublesOf are {id, icon, word, text}; the icon names a shape and a colour as
// the states do. Without an answer those that were there before still are, as
// far as is known.
export function troublesOf({ figures: f }) {
  const found = [];
  if (f.error) found.push({ id: "error", icon: "failed", word: "No answer", text: f.error });
  if (f.at == null) return found;
  // A queue that no worker has ever served is none that the broker knows of.
  if (f.queues === 0 && f.backlog > 0) {
    const text = `no worker serves any queue, ${wait(f.backlog)}`;
    found.push({ id: "nobody", icon: "stuck", word: "Not served", text });
  }
  for (const { queue, waiting } of f.neglected) {
    const text = `no worker serves queue ${short(queue)}, ${wait(waiting)}`;
    found.push({ id: `queue ${queue}`, icon: "stuck", word: "Not served", text });
  }
  if (f.unserved > f.neglected.length) {
    const text = `no worker serves ${plural(f.unserved - f.neglected.length, "further queue")}`;
    found.push({ id: "queues", icon: "stuck", word: "Not served", text });
  }
  if (f.limit > 0 && f.backlog >= nearlyFull * f.limit) {
    const word = f.backlog >= f.limit ? "Full" : "Nearly full";
    found.push({ id: "full", icon: "blocked", word, text: `backlog ${percent(f.backlog / f.limit)} full` });
  }
  for (const name of f.away) {
    const text = `worker ${short(name)} is disconnected`;
    found.push({ id: `worker ${name}`, icon: "failed", word: "Cut off", text });
  }
  if (f.disconnected > f.away.length) {
    const text = `${plural(f.disconnected - f.away.length, "further worker")} disconnected`;
    found.push({ id: "workers", icon: "failed", word: "Cut off", text });
  }
  if (f.broken > 0) {
    const text = `${plural(f.broken, "worker")} can't take tasks from a queue`;
    found.push({ id: "broken", icon: "failed", word: "Broken queue", text });
  }
  if (f.redelivered > 0) {
    const text = `${plural(f.redelivered, "task")} ${f.redelivered === 1 ? "was" : "were"} redelivered`;
    found.push({ id: "redelivered", icon: "retrying", word: "Redelivered", text });
  }
  return found;
}
