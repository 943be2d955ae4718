// How the tests look at what is drawn. The page doesn't know of it.
const look = {
  // rgb resolves a CSS colour, or a property such as "--accent".
  rgb(color) {
    const el = document.body.appendChild(document.createElement("i"));
    el.style.color = color.startsWith("--") ? `var(${color})` : color;
    const value = getComputedStyle(el).color;
    el.remove();
    const c = new OffscreenCanvas(1, 1).getContext("2d");
    c.fillStyle = value;
    c.fillRect(0, 0, 1, 1);
    return [...c.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  },

  // pixels reads a canvas. It asks a copy: a canvas that is read is kept where
  // drawing is slow.
  pixels(canvas) {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    return copy.getImageData(0, 0, canvas.width, canvas.height);
  },

  near: (d, i, [r, g, b], off = 12) => d[i + 3] > 200 && Math.abs(d[i] - r) <= off && Math.abs(d[i + 1] - g) <= off && Math.abs(d[i + 2] - b) <= off,

  // inked is how many pixels of a canvas have a colour; of any, without one.
  inked(selector, color) {
    const { data } = look.pixels(document.querySelector(selector));
    const rgb = color && look.rgb(color);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) if (rgb ? look.near(data, i, rgb) : data[i + 3] > 0) n++;
    return n;
  },

  // stack is the heights of the colours of the legend of a chart at its right
  // edge, as parts of the axis.
  stack(chart) {
    const figure = document.querySelector(`[data-chart="${chart}"]`);
    const canvas = figure.querySelector("canvas"), over = figure.querySelector(".u-over");
    const box = over.getBoundingClientRect(), from = canvas.getBoundingClientRect();
    const ratio = canvas.width / from.width;
    const x = Math.round((box.right - from.left - 1) * ratio) - 1;
    const top = Math.round((box.top - from.top) * ratio), high = Math.round(box.height * ratio);
    const { data, width } = look.pixels(canvas);
    return [...figure.querySelectorAll(".legend .swatch")].map((el) => {
      const rgb = look.rgb(getComputedStyle(el).color);
      let n = 0;
      for (let y = top; y < top + high; y++) if (look.near(data, 4 * (y * width + x), rgb)) n++;
      return n / high;
    });
  },

  // legend is what a chart says in words at the pointer, or now.
  legend: (chart) => [...document.querySelectorAll(`[data-chart="${chart}"] .legend b`)].map((el) => el.textContent).join(" | "),

  // hover moves the pointer over a whole chart, and returns what the legend said:
  // time | values.
  hover(chart) {
    const over = document.querySelector(`[data-chart="${chart}"] .u-over`);
    const box = over.getBoundingClientRect();
    const told = new Set();
    for (let x = 0; x <= box.width; x++) {
      over.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + x, clientY: box.top + 40, bubbles: true }));
      told.add(`${document.querySelector(`[data-chart="${chart}"] .at`).textContent} | ${look.legend(chart)}`);
    }
    over.dispatchEvent(new MouseEvent("mouseleave"));
    return [...told];
  },

  // rows is the text of the cells of a table, row by row.
  rows: (selector) => [...document.querySelectorAll(`${selector} tbody tr`)].map((tr) => [...tr.cells].map((td) => td.textContent.trim()).join(" | ")),

  // wide is what makes the page wider than its window.
  wide() {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room && document.body.scrollWidth <= room) return [];
    const named = (el) => `${el.tagName.toLowerCase()}${el.id ? `#${el.id}` : ""}${el.className ? `.${el.className}` : ""}`;
    return [`${document.documentElement.scrollWidth} of ${room}`, ...[...document.querySelectorAll("body *")].filter((el) => el.getBoundingClientRect().right > room + 0.5 && !el.closest(".scroll, .vh, [hidden]")).map(named)];
  },

  // frames begins to note the times of frames, and for how long a text stands.
  frames(selector) {
    const began = performance.now();
    const noted = (look.noted = { frames: 0, gap: 0, long: 0, stood: 0, last: began, changed: began, text: null, over: false });
    noted.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) noted.long = Math.max(noted.long, entry.duration);
    });
    noted.observer.observe({ type: "longtask" });
    const frame = (now) => {
      if (noted.over) return;
      noted.frames++;
      noted.gap = Math.max(noted.gap, now - noted.last);
      noted.last = now;
      const { textContent } = document.querySelector(selector);
      noted.stood = Math.max(noted.stood, now - noted.changed);
      if (textContent !== noted.text) [noted.text, noted.changed] = [textContent, now];
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  },

  // measured ends that.
  measured() {
    const { noted } = look;
    noted.over = true;
    noted.observer.disconnect();
    const gap = Math.max(noted.gap, performance.now() - noted.last); // it may never have come again
    return { Frames: noted.frames, Gap: gap, Long: noted.long, Stood: noted.stood };
  },
};
