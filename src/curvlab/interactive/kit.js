// What every live figure shares on the page: native controls, a stage that is redrawn when a
// control or the width changes, a readout in words, and a link to the present setting.

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

export const escape = (text) => String(text).replace(/[&<>"]/g, (c) => escapes[c]);

// A number with n significant digits, as curvlab.interactive.digits writes it.
export function digits(x, n = 3) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "undefined" : x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const [mantissa, power] = x.toExponential(n - 1).split("e");
  const exponent = Number(power);
  const text =
    exponent >= -3 && exponent < 5 ? x.toFixed(Math.max(0, n - 1 - exponent))
    : `${mantissa}·10${[...String(exponent)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`;
  return text.replace("-", "−");
}

export const percent = (p) => `${(100 * p).toFixed(1)}%`;

function tag(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

// One native control: {name, label, type: "range" | "choice" | "switch", value, ...}.
function control(spec, id, changed) {
  const shown = tag("span", { className: "cl-value", ariaHidden: "true" });
  const label = tag("label", { htmlFor: id, textContent: spec.label });
  const parts = {
    range: () => {
      const { min, max, step = 1, format = (v) => digits(v) } = spec;
      const input = tag("input", { type: "range", id, min, max, step });
      return {
        input, get: () => Number(input.value),
        read: (v) => (Number.isFinite(Number(v)) ? Number(v) : spec.value),
        set: (v) => { input.value = v; },
        show: (v, all) => { shown.textContent = input.ariaValueText = format(v, all); },
      };
    },
    choice: () => {
      const input = tag("select", { id },
        ...spec.options.map(([value, textContent]) => tag("option", { value, textContent })));
      const known = spec.options.map(([value]) => value);
      return {
        input, get: () => input.value,
        read: (v) => (known.includes(v) ? v : spec.value), set: (v) => { input.value = v; },
      };
    },
    switch: () => {
      const input = tag("input", { type: "checkbox", id });
      return {
        input, get: () => input.checked,
        read: (v) => v === true || v === "1" || v === "true", set: (v) => { input.checked = v; },
      };
    },
  }[spec.type]();
  parts.input.addEventListener("input", changed);
  const children = spec.type === "switch" ? [parts.input, label] : [label, shown, parts.input];
  return { ...parts, name: spec.name, initial: spec.value,
    node: tag("div", { className: `cl-control cl-${spec.type}` }, ...children) };
}

// Builds the figure in el. draw(values, width) returns {svg, readout}; onPoint(x, y, values)
// turns a press or a drag at stage pixels into new values, or nothing when it hit no plot;
// `aside` is an element of the figure's own whose input events ask for a redraw.
export function mount({ model, el, name, controls, draw, onPoint, aside = "" }) {
  const counters = (globalThis.curvlabCounters ??= {});
  const copy = (counters[name] = (counters[name] ?? 0) + 1);
  const address = copy === 1 ? name : `${name}-${copy}`;
  const given = model.get("values") ?? {};
  const fields = controls.map((spec) =>
    control({ ...spec, value: given[spec.name] ?? spec.value }, `cl-${address}-${spec.name}`,
      () => changed()));
  const stage = tag("div", { className: "cl-stage" });
  const readout = tag("output", { className: "cl-readout" });
  readout.setAttribute("for", fields.map((field) => field.input.id).join(" "));
  const link = tag("a", { textContent: "Link to this setting" });
  const reset = tag("button", { type: "button", textContent: "Reset" });
  const form = tag("form", { className: "cl-controls" }, ...fields.map((field) => field.node));
  form.addEventListener("submit", (event) => event.preventDefault());
  el.classList.add("curvlab-live");
  el.append(form, aside, stage, readout, tag("p", { className: "cl-links" }, reset, link));
  // JupyterLab would take the arrow keys for its own cursor.
  for (const taker of el.querySelectorAll("input, select, [tabindex]")) {
    taker.dataset.lmSuppressShortcuts = "";
  }

  const values = () => Object.fromEntries(fields.map((field) => [field.name, field.get()]));
  const set = (news) => {
    for (const field of fields) {
      if (news[field.name] !== undefined) field.set(field.read(news[field.name]));
    }
    changed();
  };

  let drawn = 0;
  let queued = false;
  const redraw = () => {
    queued = false;
    const width = Math.floor(stage.clientWidth);
    if (width === 0) return;
    drawn = width;
    const now = values();
    for (const field of fields) field.show?.(now[field.name], now);
    const result = draw(now, width);
    stage.innerHTML = result.svg;
    readout.textContent = result.readout;
    for (const picture of stage.querySelectorAll("svg[role=img]")) {
      picture.setAttribute("aria-label", `${picture.dataset.title}. ${result.readout}`);
    }
    const query = new URLSearchParams(fields.map((field) => [field.name, String(field.get())]));
    link.href = `#${address}?${query}`;
  };
  const changed = () => {
    if (!queued) requestAnimationFrame(redraw);
    queued = true;
    model.set("values", values());
    model.save_changes();
  };

  if (aside) aside.addEventListener("input", () => changed());
  reset.addEventListener("click", () =>
    set(Object.fromEntries(fields.map((field) => [field.name, field.initial]))));
  const follow = () => {
    const [at, query] = decodeURIComponent(location.hash).slice(1).split("?");
    if (at !== address || query === undefined) return;
    set(Object.fromEntries(new URLSearchParams(query)));
    el.scrollIntoView({ block: "nearest" });
  };
  globalThis.addEventListener("hashchange", follow);

  if (onPoint) {
    const move = (event) => {
      const box = stage.getBoundingClientRect();
      const news = onPoint(event.clientX - box.left, event.clientY - box.top, values());
      if (news) set(news);
      return news;
    };
    stage.addEventListener("pointerdown", (event) => {
      const grabbed = event.pointerType !== "touch" || event.target.closest(".cl-grab");
      if (!grabbed || !move(event)) return;
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) move(event);
    });
  }

  for (const field of fields) field.set(field.initial);
  follow();
  redraw();
  const watcher = new ResizeObserver(() => {
    if (Math.floor(stage.clientWidth) !== drawn) redraw();
  });
  watcher.observe(stage);
  return () => {
    watcher.disconnect();
    globalThis.removeEventListener("hashchange", follow);
  };
}

// ---- drawing: strings of SVG ----

export const picture = (title, width, height, ...content) =>
  `<svg role="img" data-title="${escape(title)}" width="${width}" height="${height}" ` +
  `viewBox="0 0 ${width} ${height}">${content.flat(9).join("")}</svg>`;

export function text(x, y, words, { anchor = "start", kind = "", extra = "" } = {}) {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" class="${kind}" ` +
    `${extra}>${escape(words)}</text>`;
}

export const line = (x1, y1, x2, y2, kind) => path([[x1, y1], [x2, y2]], kind);

export function path(points, kind, closed = false) {
  const steps = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
  return points.length ? `<path class="${kind}" d="M${steps}${closed ? "Z" : ""}"/>` : "";
}

export const circle = (x, y, r, kind) =>
  `<circle class="${kind}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${r}"/>`;

// Marks that differ in shape, not in color alone.
export function mark(shape, x, y, r, kind) {
  const corners = {
    square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    diamond: [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]],
    triangle: [[0, -1.3], [1.2, 0.9], [-1.2, 0.9]],
  }[shape];
  return corners
    ? path(corners.map(([u, v]) => [x + u * r, y + v * r]), kind, true)
    : circle(x, y, r, kind);
}

// A row of [shape or "line", kind, words] that wraps; `height` is what it took.
export function legend(entries, left, top, width) {
  let [x, y] = [left, top];
  const drawn = entries.map(([shape, kind, words]) => {
    const wide = 34 + 7.2 * words.length;
    if (x > left && x + wide > left + width) [x, y] = [left, y + 21];
    const sign = shape === "line" ? line(x, y, x + 22, y, kind) : mark(shape, x + 11, y, 5.5, kind);
    x += wide + 16;
    return sign + text(x - wide + 14, y + 4, words);
  });
  return { drawn, height: y - top + 21 };
}

export function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(9)));
}

const superscript = (n) => [...String(n)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");

// A plot area: x and y map data to pixels, `frame` is its axes. With log, y is in powers of ten.
export function plot({ left, top, width, height, xs, ys, xLabel, yLabel, log, xTicks, yTicks }) {
  const x = (v) => left + (width * (v - xs[0])) / (xs[1] - xs[0]);
  const y = (v) => top + height - (height * (v - ys[0])) / (ys[1] - ys[0]);
  const write = (v) => (v !== 0 && Math.abs(v) < 1e-3 ? digits(v, 2).replace(".0·", "·")
    : String(v).replace("-", "−"));
  const marksX = xTicks ?? ticks(...xs, Math.max(2, width / 70));
  const marksY = yTicks ?? ticks(...ys, Math.max(2, height / 45)).filter((v) => !log || v % 1 === 0);
  const frame = [
    marksY.map((v) => line(left, y(v), left + width, y(v), "cl-grid") +
      text(left - 6, y(v) + 4, log ? `10${superscript(v)}` : write(v), { anchor: "end", kind: "cl-tick" })),
    marksX.map((v) => text(x(v), top + height + 16, write(v), { anchor: "middle", kind: "cl-tick" })),
    line(left, top + height, left + width, top + height, "cl-axis"),
    xLabel ? text(left + width, top + height + 33, xLabel, { anchor: "end", kind: "cl-label" }) : "",
    yLabel ? text(left - 30, top - 10, yLabel, { kind: "cl-label" }) : "",
  ];
  const inside = (px, py) => px >= left && px <= left + width && py >= top && py <= top + height;
  return {
    x, y, frame, inside,
    fromX: (px) => xs[0] + ((px - left) * (xs[1] - xs[0])) / width,
    fromY: (py) => ys[0] + ((top + height - py) * (ys[1] - ys[0])) / height,
  };
}

// A picture of numbers: color(value) gives [r, g, b, a] with all parts in 0..255.
export function raster(numbers, columns, color) {
  const rows = numbers.length / columns;
  const canvas = tag("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  numbers.forEach((v, i) => pixels.data.set(color(v), 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

export const image = (url, x, y, width, height, kind = "") =>
  `<image class="${kind}" href="${url}" x="${x}" y="${y}" width="${width}" height="${height}" ` +
  `preserveAspectRatio="none"/>`;

// The level set of numbers on a grid, as segments between grid positions (marching squares).
export function contour(numbers, columns, level) {
  const segments = [];
  const rows = numbers.length / columns;
  for (let j = 0; j + 1 < rows; j++) {
    for (let i = 0; i + 1 < columns; i++) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
      const heights = corners.map(([a, b]) => numbers[b * columns + a] - level);
      const cut = [];
      corners.forEach(([a, b], k) => {
        const n = (k + 1) % 4;
        if (heights[k] < 0 === heights[n] < 0) return;
        const t = heights[k] / (heights[k] - heights[n]);
        cut.push([a + t * (corners[n][0] - a), b + t * (corners[n][1] - b)]);
      });
      for (let k = 0; k + 1 < cut.length; k += 2) segments.push([cut[k], cut[k + 1]]);
    }
  }
  return segments;
}

export const segments = (pairs, kind) =>
  `<path class="${kind}" d="${pairs.map(([[a, b], [c, d]]) =>
    `M${a.toFixed(1)},${b.toFixed(1)}L${c.toFixed(1)},${d.toFixed(1)}`).join("")}"/>`;
