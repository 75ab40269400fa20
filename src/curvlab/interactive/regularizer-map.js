// Every regularizer by the cost of a step, marked by what its value bounds, with its links drawn.
import { mount, picture, text, line, mark, legend, escape } from "./kit.js";

const KINDS = [
  ["ball", "circle", "bounds, by a supremum over the ball"],
  ["more", "square", "bounds, with something besides"],
  ["below", "triangle", "bounds from below"],
  ["none", "diamond", "bounds nothing by itself"],
];
const ORDERS = [["book", "as in the book"], ["cost", "by cost"], ["kind", "by what it bounds"]];
const STEP = 24;
const LABELS = 176;
const TOP = 26;

const rank = (kind) => KINDS.findIndex(([name]) => name === kind);

function ordered({ rows }, order) {
  const key = { book: () => 0, cost: (row) => row.cost ?? 0, kind: (row) => rank(row.kind) }[order];
  return [...rows].sort((a, b) => key(a) - key(b));
}

function linked({ rows, links }, name) {
  const own = links.filter(({ who }) => who.includes(name));
  const others = rows.map((row) => row.name)
    .filter((other) => other !== name && own.some(({ who }) => who.includes(other)));
  return { own, others };
}

function sentence(state, { method }) {
  const row = state.rows.find(({ name }) => name === method);
  const { own, others } = linked(state, method);
  const cost = row.cost === null ? "It is no training step of a classifier."
    : `A step costs ${row.cost.toFixed(2)} plain steps of arithmetic; time: ${row.time}.`;
  const told = own.map(({ title, how }) => `${title} (${how})`).join("; ");
  const tied = own.length ? `Linked with ${others.join(", ")}: ${told}.` : "No statement links it.";
  return `${row.name} sees ${row.sees}. Its value bounds: ${row.bounds}. ${cost} ${tied}`;
}

function arc([x, y], [u, v]) {
  const bow = Math.min(60, 12 + Math.abs(v - y) / 4);
  return `<path class="cl-l0 cl-half" d="M${x.toFixed(1)},${y.toFixed(1)}` +
    `Q${(Math.max(x, u) + bow).toFixed(1)},${((y + v) / 2).toFixed(1)} ${u.toFixed(1)},${v.toFixed(1)}"/>`;
}

function drawing(state, { method, order }, width) {
  const rows = ordered(state, order);
  const { others } = linked(state, method);
  const [left, right] = [LABELS + 14, width - 40];
  const most = Math.log(Math.max(12, ...rows.map(({ cost }) => cost ?? 1)));
  const x = (cost) => left + ((right - left) * Math.log(cost ?? 1)) / most;
  const y = (i) => TOP + STEP * i + STEP / 2;
  const spots = Object.fromEntries(rows.map((row, i) => [row.name, [x(row.cost), y(i)]]));
  const bottom = TOP + STEP * rows.length + 6;
  const marks = [1, 2, 4, 8];
  const key = legend(KINDS.map(([, shape, words], i) => [shape, `cl-f${i + 1}`, words]), 0, bottom + 50,
    width);
  const near = (name) => name === method || others.includes(name);
  return picture("Map of the regularizers", width, bottom + 52 + key.height,
    marks.map((v) => line(x(v), TOP - 4, x(v), bottom, "cl-grid") +
      text(x(v), bottom + 16, String(v), { anchor: "middle", kind: "cl-tick" })),
    text(width, bottom + 33, "arithmetic of a step, in plain steps", { anchor: "end", kind: "cl-label" }),
    rows.map((row, i) => `<g class="${near(row.name) ? "" : "cl-half"}">` +
      (row.name === method
        ? `<rect class="cl-f1 cl-wash" x="0" y="${y(i) - STEP / 2}" width="${width}" height="${STEP}"/>`
        : "") +
      text(LABELS, y(i) + 4, row.name, { anchor: "end" }) + "</g>"),
    others.map((other) => arc(spots[method], spots[other])),
    rows.map((row) => {
      const [, shape] = KINDS[rank(row.kind)];
      return mark(shape, ...spots[row.name], row.name === method ? 7 : 5,
        `cl-f${rank(row.kind) + 1} cl-rim`);
    }),
    key.drawn);
}

export default {
  render({ model, el }) {
    const state = model.get("state");
    const names = state.rows.map(({ name }) => name);
    const controls = [
      { name: "method", label: "Method", type: "choice", value: names[0],
        options: names.map((name) => [name, escape(name)]) },
      { name: "order", label: "Order", type: "choice", value: "book", options: ORDERS },
    ];
    return mount({
      model, el, controls, name: "regularizer-map",
      draw: (values, width) =>
        ({ svg: drawing(state, values, width), readout: sentence(state, values) }),
      onPoint(px, py, { order }) {
        const row = ordered(state, order)[Math.floor((py - TOP) / STEP)];
        return row ? { method: row.name } : null;
      },
    });
  },
};
