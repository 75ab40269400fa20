// A quadratic in the plane: its exact maximum on a disc or square, Frank-Wolfe, the CURE interval.
import { trustRegion, squareMaximum, dot, norm, add, scale } from "./numerics.js";
import { mount, plot, picture, text, line, path, circle, mark, contour, segments, legend, digits } from "./kit.js";

const TILT = Math.PI / 6;
const turned = (angle) => [Math.cos(angle), Math.sin(angle)];

function quadratic({ along, across, angle }) {
  const [u, w] = [turned(TILT), turned(TILT + Math.PI / 2)];
  const g = turned(TILT + (angle * Math.PI) / 180);
  const entry = (i, j) => along * u[i] * u[j] + across * w[i] * w[j];
  const matrix = [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]];
  const pull = (d) => add(g, matrix.map((row) => dot(row, d)));
  const gain = (d) => (dot(g, d) + dot(pull(d), d)) / 2;
  return { u, w, g, matrix, pull, gain, values: [along, across], top: Math.max(along, across) };
}

const best = {
  l2({ u, w, g, values }, radius) {
    const { step } = trustRegion(values, [dot(u, g), dot(w, g)], radius);
    return add(scale(u, step[0]), w, step[1]);
  },
  linf: ({ g, matrix }, radius) => squareMaximum(g, matrix, radius),
};

const vertex = {
  l2: (v, radius) => scale(v, radius / norm(v)),
  linf: (v, radius) => v.map((vi) => (vi < 0 ? -radius : radius)),
};

// Full Frank-Wolfe steps from the center: each goes to the best point of the linearization.
function frankWolfe(q, ball, radius, steps) {
  const walk = [[0, 0]];
  for (let k = 0; k < steps; k++) walk.push([...vertex[ball](q.pull(walk[k]), radius)]);
  return walk;
}

// The length of step that raises the quadratic by `needed`: lower bound, exact, upper bound.
function interval(q, needed) {
  const side = Math.abs(dot(q.values[0] >= q.values[1] ? q.u : q.w, q.g));
  const root = (slope) => (2 * needed) / (slope + Math.sqrt(slope * slope + 2 * q.top * needed));
  let [low, high] = [root(1), root(side)];
  const ends = [low, high];
  for (let k = 0; k < 60; k++) {
    const middle = (low + high) / 2;
    if (q.gain(best.l2(q, middle)) < needed) low = middle;
    else high = middle;
  }
  return [ends[0], high, ends[1]];
}

function sentence(q, { ball, radius, steps, needed }) {
  const walk = frankWolfe(q, ball, radius, steps);
  const linear = vertex[ball](q.g, radius);
  const [low, exact, high] = interval(q, needed);
  return `Largest gain in the ${ball === "l2" ? "disc" : "square"} ` +
    `${digits(q.gain(best[ball](q, radius)))}; the linear model's step gains ` +
    `${digits(q.gain(linear))}, Frank-Wolfe after ${steps} step${steps === 1 ? "" : "s"} ` +
    `${digits(q.gain(walk[steps]))}. A gain of ${digits(needed)} takes a step of length ` +
    `${digits(exact)}; the CURE interval is ${digits(low)} to ${digits(high)}.`;
}

function plane(q, { ball, radius, steps, needed }, box) {
  const reach = 1.45 * radius;
  const area = plot({ ...box, xs: [-reach, reach], ys: [-reach, reach] });
  const side = 49;
  const grid = Array.from({ length: side * side }, (_, k) => q.gain([
    reach * ((2 * (k % side)) / (side - 1) - 1),
    reach * (1 - (2 * Math.floor(k / side)) / (side - 1))]));
  const place = ([i, j]) => [box.left + (box.width * i) / (side - 1),
    box.top + (box.height * j) / (side - 1)];
  const level = (value, kind) =>
    segments(contour(grid, side, value).map((pair) => pair.map(place)), kind);
  const at = (d) => [area.x(d[0]), area.y(d[1])];
  const top = q.gain(best[ball](q, radius));
  const [c, r] = [at([0, 0]), area.x(radius) - area.x(0)];
  const shape = ball === "l2" ? circle(...c, r.toFixed(1), "cl-l0")
    : path([[-r, -r], [r, -r], [r, r], [-r, r]].map(([a, b]) => [c[0] + a, c[1] + b]), "cl-l0", true);
  const walk = frankWolfe(q, ball, radius, steps).map(at);
  const tip = at(scale(q.g, 0.62 * radius));
  return [
    [-0.5, 0, 0.25, 0.5, 0.75, 1].map((t) => level(t * top, "cl-grid cl-firm")),
    level(needed, "cl-l4 cl-dash"),
    line(...at(scale(q.u, -reach)), ...at(scale(q.u, reach)), "cl-axis cl-dot"),
    shape,
    line(...c, ...tip, "cl-l2"),
    circle(...tip, 6, "cl-f2 cl-rim"),
    circle(...tip, 22, "cl-grab"),
    path(walk, "cl-l1"),
    walk.map((p) => mark("square", ...p, 3.5, "cl-f1 cl-rim")),
    mark("diamond", ...at(best[ball](q, radius)), 6, "cl-f3 cl-rim"),
  ];
}

function curves(q, { ball, radius, needed }, box) {
  const far = 3;
  const sample = Array.from({ length: 61 }, (_, i) => (far * i) / 60);
  const exact = (r) => (r === 0 ? 0 : q.gain(best[ball](q, r)));
  const ceiling = 1.05 * Math.max(exact(radius), needed, 1) + 0.4;
  const area = plot({ ...box, xs: [0, far], ys: [0, ceiling], xLabel: "radius",
    yLabel: `largest gain in the ${ball === "l2" ? "disc" : "square"}` });
  const trace = (f) => sample.map((r) => [r, f(r)]).filter(([, v]) => v <= ceiling)
    .map(([r, v]) => [area.x(r), area.y(v)]);
  const [low, middle, high] = interval(q, needed);
  const flat = (r) => [area.x(Math.min(r, far)), area.y(needed)];
  const bound = ball === "l2" ? [
    path(trace((r) => r + (q.top * r * r) / 2), "cl-l0 cl-dot"),
    line(...flat(low), ...flat(high), "cl-l4"),
    [low, high].filter((r) => r <= far).map((r) => mark("square", ...flat(r), 4, "cl-f4 cl-rim")),
    middle <= far ? mark("circle", ...flat(middle), 5, "cl-f4 cl-rim") : ""] : [];
  return [
    area.frame,
    line(area.x(0), area.y(needed), area.x(far), area.y(needed), "cl-axis cl-dash"),
    path(trace((r) => r * (ball === "l2" ? 1 : Math.abs(q.g[0]) + Math.abs(q.g[1]))),
      "cl-l2 cl-dash"),
    path(trace(exact), "cl-l3"),
    bound,
    mark("diamond", area.x(radius), area.y(exact(radius)), 6, "cl-f3 cl-rim"),
  ];
}

const keys = {
  l2: [["diamond", "cl-f3", "exact maximum"], ["square", "cl-f1", "Frank-Wolfe"],
    ["line", "cl-l2", "gradient"], ["line", "cl-l2 cl-dash", "linear model"],
    ["line", "cl-l0 cl-dot", "upper bound"], ["line", "cl-l4 cl-dash", "gain needed"],
    ["square", "cl-f4", "CURE interval"], ["circle", "cl-f4", "exact length"]],
};
keys.linf = keys.l2.slice(0, 4).concat([keys.l2[5]]);

export default {
  render({ model, el }) {
    const range = (name, label, min, max, step, value, format) =>
      ({ name, label, type: "range", min, max, step, value, format });
    const controls = [
      { name: "ball", label: "Ball", type: "choice", value: "l2",
        options: [["l2", "l2 disc"], ["linf", "l∞ square"]] },
      range("radius", "Radius", 0.2, 3, 0.05, 1),
      range("along", "Curvature along u", 0.1, 3, 0.05, 1.5),
      range("across", "Curvature across", -3, 3, 0.05, -0.5),
      range("angle", "Angle of gradient and u", 0, 180, 1, 60, (v) => `${v}°`),
      range("needed", "Gain needed", 0.1, 3, 0.05, 1),
      range("steps", "Frank-Wolfe steps", 0, 8, 1, 3, String),
    ];
    let center;
    return mount({
      model, el, controls, name: "trust-region",
      draw(values, width) {
        const q = quadratic(values);
        const wide = width >= 640;
        const side = wide ? Math.min(300, width / 2 - 40) : Math.min(330, width - 20);
        const box = { left: 6, top: 26, width: side, height: side };
        center = [box.left + side / 2, box.top + side / 2, side];
        const other = wide ? { left: side + 60, top: 26, width: width - side - 70 }
          : { left: 40, top: side + 82, width: width - 50 };
        const height = wide ? side - 34 : 220;
        const foot = wide ? side + 56 : side + height + 144;
        const key = legend(keys[values.ball], 0, foot, width);
        const svg = picture("A quadratic on a ball, and its largest gain against the radius", width,
          foot + key.height, key.drawn,
          text(6, 14, "step δ in the plane; dotted: u", { kind: "cl-label" }),
          plane(q, values, box), curves(q, values, { ...other, height }));
        return { svg, readout: sentence(q, values) };
      },
      onPoint(px, py) {
        const [x, y] = [px - center[0], center[1] - py];
        if (Math.max(Math.abs(x), Math.abs(y)) > center[2] / 2) return undefined;
        const turn = ((Math.atan2(y, x) - TILT) * 180) / Math.PI;
        return { angle: Math.round(Math.min(180, Math.max(0, turn < -90 ? turn + 360 : turn))) };
      },
    });
  },
};
