// One Hessian, many kernels: what each second-order regularizer sees of a real loss on a segment.
import { mount, plot, picture, line, path, circle, legend, digits } from "./kit.js";

const PANELS = 240;

// A list on an even grid over [0, reach], read between its points.
const reader = (list, reach) => (s) => {
  const place = (Math.min(s, reach) / reach) * (list.length - 1);
  const i = Math.min(list.length - 2, Math.floor(place));
  return list[i] + (place - i) * (list[i + 1] - list[i]);
};

const measures = {
  elle: { label: "ELLE", kernel: (t, a) => (t <= a ? t * (1 - a) : a * (1 - t)),
    direct: ({ loss }, s, a) => (1 - a) * loss(0) + a * loss(s) - loss(a * s) },
  llr: { label: "LLR", kernel: (t) => 1 - t,
    direct: ({ loss, slope }, s) => loss(s) - loss(0) - s * slope(0) },
  cure: { label: "CURE", kernel: () => 1, direct: ({ slope }, s) => s * (slope(s) - slope(0)) },
  gradalign: { label: "GradAlign", kernel: () => 1 },
  hessian: { label: "Hessian norm", kernel: () => 0 },
};

function facts(line_, top, { measure, length: s, alpha }) {
  const { kernel, direct } = measures[measure];
  const seen = measure === "gradalign" ? (t) => s * line_.across(t * s)
    : (t) => s * s * line_.bend(t * s);
  const ts = Array.from({ length: PANELS + 1 }, (_, i) => i / PANELS);
  const products = ts.map((t) => kernel(t, alpha) * seen(t));
  const integral = products.reduce((sum, v, i) =>
    sum + v * (i === 0 || i === PANELS ? 0.5 : 1), 0) / PANELS;
  return { seen, ts, kernel, products, integral, direct: direct?.(line_, s, alpha), worst: s * s * top };
}

function sentence(line_, found, { measure, length: s, alpha }) {
  if (measure === "hessian") {
    return `The Hessian norm looks at the start alone: along the segment δ'Hδ = ` +
      `${digits(found.seen(0))} there, in the worst direction ${digits(found.worst)}.`;
  }
  if (measure === "gradalign") {
    const model = (s * line_.across(0)) ** 2 / (2 * line_.start ** 2);
    return `GradAlign is 1 − cos = ${digits(line_.turn(s))}; the part of Hδ across the gradient ` +
      `at the start says ${digits(model)}.`;
  }
  const name = measure === "elle" ? `ELLE with α = ${digits(alpha)}` : measures[measure].label;
  const change = measure === "cure"
    ? ` The whole change of the gradient is ${digits(line_.change(s))}.` : "";
  return `${name}: the weighted curvature adds up to ${digits(found.integral)}; from ` +
    `${measure === "cure" ? "gradients" : "losses"} directly, ${digits(found.direct)}.${change}`;
}

export default {
  render({ model, el }) {
    const { lines, reach, top, start } = model.get("state");
    const read = lines.map((held) => ({ start, ...Object.fromEntries(
      ["loss", "slope", "bend", "across", "turn", "change"].map((name) =>
        [name, reader(held[name], reach)])) }));
    const controls = [
      { name: "measure", label: "Regularizer", type: "choice", value: "elle",
        options: Object.entries(measures).map(([name, { label }]) => [name, label]) },
      { name: "direction", label: "Direction of the segment", type: "choice", value: "0",
        options: lines.map(({ label }, i) => [String(i), label]) },
      { name: "length", label: "Length of the segment", type: "range", min: 0.1, max: reach,
        step: 0.1, value: 1.5 },
      { name: "alpha", label: "ELLE's α", type: "range", min: 0.05, max: 0.95, step: 0.05,
        value: 0.5 },
    ];
    return mount({
      model, el, controls, name: "kernels",
      draw(values, width) {
        const line_ = read[Number(values.direction)];
        const found = facts(line_, top, values);
        const curve = found.ts.map(found.seen);
        const span = [Math.min(0, ...curve, ...found.products), Math.max(0, ...curve, ...found.products)];
        const pad = 0.06 * (span[1] - span[0] || 1);
        const box = { left: 64, width: width - 74 };
        const area = plot({ ...box, top: 28, height: 170, xs: [0, 1],
          ys: [span[0] - pad, span[1] + pad], xTicks: [],
          yLabel: values.measure === "gradalign" ? "length of Hδ across the gradient"
            : "curvature δ'Hδ along the segment" });
        const below = plot({ ...box, top: 238, height: 90, xs: [0, 1], ys: [0, 1.1],
          xLabel: "position t on the segment", yLabel: "weight of each position",
          yTicks: [0, 0.5, 1] });
        const points = (a, list) => list.map((v, i) => [a.x(found.ts[i]), a.y(v)]);
        const zero = [[area.x(1), area.y(0)], [area.x(0), area.y(0)]];
        const point = values.measure === "hessian";
        const key = legend([["line", "cl-l1", "what the loss has"],
          ["line", "cl-l2 cl-dash", "weight"], ["square", "cl-f3 cl-faint", "what is seen"]],
        0, 386, width);
        const svg = picture("Curvature along a segment and the weight a regularizer gives it", width,
          386 + key.height, key.drawn, area.frame,
          line(area.x(0), area.y(0), area.x(1), area.y(0), "cl-axis"),
          point ? "" : path([...points(area, found.products), ...zero], "cl-f3 cl-faint", true),
          path(points(area, curve), "cl-l1"), below.frame,
          point ? [line(below.x(0), below.y(0), below.x(0), below.y(1), "cl-l2"),
            circle(below.x(0), below.y(1), 4, "cl-f2"),
            circle(area.x(0), area.y(curve[0]), 5.5, "cl-f3 cl-rim")]
            : path(points(below, found.ts.map((t) => found.kernel(t, values.alpha))), "cl-l2 cl-dash"));
        return { svg, readout: sentence(line_, found, values) };
      },
    });
  },
};
