// A classifier on a line blurred by Gaussian noise: its slope and curvature against their limits.
import { normalCdf, normalDensity } from "./numerics.js";
import { mount, plot, picture, text, line, path, circle, legend, digits, percent } from "./kit.js";

const FAR = 4;

// Where each classifier says yes, as intervals.
const shapes = {
  half: () => [[0, 100]],
  band: (w) => [[-w, w]],
  stripes: (w) => [-3, -1, 1, 3].map((k) => [(2 * k - 1) * w, (2 * k + 1) * w]),
};

function blurred(intervals, sigma) {
  const sum = (f) => (x) => intervals.reduce(
    (total, [a, b]) => total + f((b - x) / sigma) - f((a - x) / sigma), 0);
  const slope = sum((t) => -normalDensity(t));
  const bend = sum((t) => -t * normalDensity(t));
  return { value: sum(normalCdf), slope: (x) => slope(x) / sigma,
    bend: (x) => bend(x) / (sigma * sigma) };
}

const sample = Array.from({ length: 401 }, (_, i) => FAR * (i / 200 - 1));

const largest = (f) => Math.max(...sample.map((x) => Math.abs(f(x))));

const limits = (sigma) => [normalDensity(0) / sigma, (2 * normalDensity(1)) / (sigma * sigma)];

// The normal quantile by bisection.
function quantile(p) {
  let [low, high] = [-9, 9];
  for (let k = 0; k < 60; k++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return high;
}

function facts({ shape, width, sigma, x }) {
  const intervals = shapes[shape](width);
  const f = blurred(intervals, sigma);
  const yes = f.value(x);
  const radius = sigma * Math.abs(quantile(Math.min(1 - 1e-12, Math.max(1e-12, yes))));
  const ends = intervals.flat().filter((end) => end < 50);
  const truth = Math.min(...ends.map((end) => Math.abs(end - x)));
  return { intervals, f, yes, radius, truth, ends };
}

function sentence({ f, yes, radius, truth }, { sigma }) {
  const [slope, bend] = limits(sigma);
  return `At the point the blurred classifier says yes with ${percent(yes)}, which certifies ` +
    `${digits(radius)}; the sharp classifier's edge is ${digits(truth)} away. Largest slope ` +
    `${digits(largest(f.slope))} of at most ${digits(slope)}, largest curvature ` +
    `${digits(largest(f.bend))} of at most ${digits(bend)}.`;
}

function panel(box, ys, yLabel, curves, limit, point, last) {
  const area = plot({ ...box, xs: [-FAR, FAR], ys, yLabel, xLabel: last ? "x" : "",
    yTicks: [ys[0], 0, ys[1]].filter((v, i, all) => all.indexOf(v) === i).map((v) =>
      Number(v.toPrecision(2))) });
  return [
    area.frame,
    limit.map((v) => line(box.left, area.y(v), box.left + box.width, area.y(v), "cl-l2 cl-dash")),
    curves.map(([points, kind]) => path(points.map(([x, y]) => [area.x(x), area.y(y)]), kind)),
    circle(area.x(point[0]), area.y(point[1]), 5.5, "cl-f1 cl-rim"),
  ];
}

export default {
  render({ model, el }) {
    const range = (name, label, min, max, step, value) =>
      ({ name, label, type: "range", min, max, step, value });
    const controls = [
      { name: "shape", label: "Where it says yes", type: "choice", value: "band",
        options: [["half", "a half-line"], ["band", "a band"], ["stripes", "stripes"]] },
      range("width", "Half width", 0.1, 2, 0.05, 0.5),
      range("sigma", "Noise σ", 0.1, 2, 0.05, 0.5),
      range("x", "Point", -FAR, FAR, 0.05, 0.2),
    ];
    return mount({
      model, el, controls, name: "smoothing",
      draw(values, width) {
        const found = facts(values);
        const { f, intervals, ends } = found;
        const box = { left: 46, width: width - 56 };
        const corners = [-FAR, ...ends.flatMap((e) => [e, e]), FAR].sort((a, b) => a - b);
        const inside = (x) => intervals.some(([a, b]) => x > a && x < b);
        const sharp = corners.map((x, i) => [x,
          inside(i % 2 ? (corners[i - 1] + x) / 2 : (x + corners[i + 1]) / 2) ? 1 : 0])
          .filter(([x]) => Math.abs(x) <= FAR);
        const curve = (g) => [sample.map((x) => [x, g(x)]), "cl-l1"];
        const [slope, bend] = limits(values.sigma);
        const key = legend([["line", "cl-l0 cl-dot", "sharp classifier"],
          ["line", "cl-l1", "blurred by noise"], ["line", "cl-l2 cl-dash", "limit for any classifier"]],
        0, 520, width);
        const svg = picture("A blurred classifier, its slope and its curvature", width,
          520 + key.height, key.drawn,
          panel({ ...box, top: 26, height: 120 }, [0, 1], "says yes",
            [[sharp, "cl-l0 cl-dot"], curve(f.value)], [], [values.x, found.yes]),
          panel({ ...box, top: 200, height: 105 }, [-1.1 * slope, 1.1 * slope], "slope",
            [curve(f.slope)], [slope, -slope], [values.x, f.slope(values.x)]),
          panel({ ...box, top: 359, height: 105 }, [-1.1 * bend, 1.1 * bend], "curvature",
            [curve(f.bend)], [bend, -bend], [values.x, f.bend(values.x)], true));
        return { svg, readout: sentence(found, values) };
      },
    });
  },
};
