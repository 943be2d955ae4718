// The states of tasks, items and workers: each has a word, a shape (a symbol of
// index.html) and a colour (--c-… and --f-… of app.css). Colour is never alone.

const states = {
  queued: ["queued", "Queued"],
  waiting: ["waiting", "Waiting"],
  running: ["running", "Running"],
  blocked: ["blocked", "Blocked"],
  retrying: ["retrying", "Retrying"],
  delayed: ["retrying", "Delayed"],
  succeeded: ["done", "Done"],
  done: ["done", "Done"],
  failed: ["failed", "Failed"],
  canceled: ["canceled", "Canceled"],
  rejected: ["canceled", "Rejected"],
  stuck: ["stuck", "Stuck?"],
  idle: ["idle", "Idle"],
  // Of items in a pipeline only.
  moving: ["in", "Between stages"],
  held: ["queued", "Held for its turn"],
  batched: ["queued", "In a batch"],
  ready: ["done", "Ready"],
  gone: ["idle", "Gone"],
  // Of workers of a cluster.
  serving: ["running", "Serving"],
  draining: ["waiting", "Draining"],
  disconnected: ["failed", "Disconnected"],
  stopped: ["idle", "Stopped"],
  broken: ["failed", "Broken queue"],
};

export const iconOf = (state) => states[state]?.[0] ?? "idle";
export const labelOf = (state) => states[state]?.[1] ?? state;

// The classes that give an element the colour of a state.
export const classOf = (state) => `s-${iconOf(state)}`;

// The states by which tasks can be looked for.
export const searchable = {
  executor: ["queued", "waiting", "running", "blocked", "retrying", "succeeded", "failed", "canceled"],
  pipeline: [
    "moving",
    "waiting",
    "running",
    "delayed",
    "blocked",
    "held",
    "batched",
    "ready",
    "done",
    "failed",
    "canceled",
  ],
};
