// The time below the task stream. As in the charts, the labels stand still.

import { color } from "./theme.js";
import { duration } from "./format.js";

export function drawAxis(v) {
  const { c, left, right, inner, span } = v;
  const parts = right - left < 500 ? 2 : 6;
  c.font = "11px system-ui, sans-serif";
  c.textBaseline = "middle";
  for (let k = 0; k <= parts; k++) {
    const at = left + ((right - left) * k) / parts;
    const ago = span - (span * k) / parts;
    c.fillStyle = color("--grid");
    c.fillRect(at - 0.5, inner, 1, 4);
    c.fillStyle = color("--text-3");
    c.textAlign = k === 0 ? "left" : k === parts ? "right" : "center";
    c.fillText(
      ago === 0 ? "now" : `−${ago < 60_000 ? `${+(ago / 1000).toFixed(1)} s` : duration(ago)}`,
      at,
      inner + 13,
    );
  }
  c.textAlign = "left";
}

// drawUnseen clears what nothing is known of.
export function drawUnseen({ c, source, from, x, inner }) {
  c.font = "11px system-ui, sans-serif";
  c.textBaseline = "middle";
  for (const [a, b] of source.spans.unseen(from)) {
    c.fillStyle = color("--bg");
    c.fillRect(x(a), 0, x(b) - x(a), inner);
    c.fillStyle = color("--text-3");
    if (x(b) - x(a) > 90) c.fillText("not watched", x(a) + 8, inner / 2);
  }
}
