// What can be done from here, where the server lets us: each is asked about
// first, and answered in words.

import { $, h, icon } from "./dom.js";
import { count } from "./format.js";

// ask opens the dialog. With a number, it asks for one, too. It resolves with
// the number, or true; or with null, when the answer is no.
function ask({ title, words, yes, number }) {
  const dialog = $("confirm");
  const input =
    number == null
      ? null
      : h("input", {
          type: "number",
          id: "confirm-number",
          min: 1,
          max: 1 << 20,
          step: 1,
          required: true,
          value: number,
        });
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "h-confirm" }, title),
    h("p", { class: "quiet" }, words),
    input && h("label", { class: "field" }, h("span", null, "Workers"), input),
    h(
      "div",
      { class: "buttons" },
      h("button", { value: "no", type: "button", id: "confirm-no", onclick: () => dialog.close("no") }, "Leave it"),
      h("button", { value: "yes", id: "confirm-yes", class: "primary" }, yes),
    ),
  );
  dialog.replaceChildren(form);
  dialog.returnValue = "no"; // for Escape
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => resolve(dialog.returnValue === "yes" ? (input ? input.valueAsNumber : true) : null),
      { once: true },
    );
  });
}

async function send(app, action, done) {
  let words = done;
  try {
    const answer = await fetch("action", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(action),
    });
    if (!answer.ok)
      words = `Refused: ${(await answer.text())
        .trim()
        .replace(/^antflow: /, "")
        .slice(0, 300)}`;
  } catch {
    words = "Nothing was done: the server can’t be reached.";
  }
  app.notify(words);
}

export async function cancelTask(app, source, id) {
  const sure = await ask({
    title: `Cancel task ${id}?`,
    yes: "Cancel the task",
    words:
      "A task that is queued won’t start. One that runs is told by its context, and ends when it listens to that.",
  });
  if (sure) await send(app, { source, do: "cancel", id }, `Task ${id} was asked to end.`);
}

export async function drain(app, source) {
  const sure = await ask({
    title: "Drain the executor?",
    yes: "Drain",
    words: "It takes no further tasks, and finishes those that it has. This can’t be undone.",
  });
  if (sure) await send(app, { source, do: "drain" }, "The executor drains.");
}

// resizeButton asks for another number of workers; now() is {source, stage,
// workers} at the time of the click. Without words it has an icon.
export function resizeButton(app, now, words) {
  const label = "Change the number of workers";
  return h(
    "button",
    {
      type: "button",
      class: words ? "resize" : "ghost resize",
      "aria-label": words ? null : label,
      title: label,
      onclick: async () => {
        const { source, stage, workers } = now();
        const what = stage == null ? "the executor" : `“${stage.slice(0, 60)}”`;
        const n = await ask({
          title: `How many workers for ${what}?`,
          yes: "Change",
          number: workers,
          words: "More start at once. Fewer take effect as tasks finish.",
        });
        if (n >= 1)
          await send(
            app,
            { source, do: "resize", workers: n, ...(stage == null ? {} : { stage }) },
            `${count(n)} workers for ${what}.`,
          );
      },
    },
    words ?? icon("edit"),
  );
}
