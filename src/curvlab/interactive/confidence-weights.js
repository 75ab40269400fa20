// What each regularizer presses on, over the confidences of a real network as it trains.
import { decode, sigmoid } from "./numerics.js";
import { mount, plot, picture, text, path, legend, digits, percent } from "./kit.js";

const BINS = 20;

// With w the gradient of the margin, each penalty of a rectifier network is |w|^2 times a weight.
const weights = {
  cross: ["cross-Lipschitz", () => 1],
  gradient: ["squared gradient", (p, q) => q * q],
  hessian: ["Hessian norm", (p, q) => p * q],
  jacobian: ["squared probability Jacobian", (p, q) => p * p * q * q],
};

function facts(odds, count, { epoch, weight }) {
  const points = Array.from({ length: count }, (_, i) => odds[epoch * count + i])
    .map((m) => [sigmoid(m), sigmoid(-m)]);
  const pressure = points.map(([p, q]) => weights[weight][1](p, q));
  const total = pressure.reduce((a, b) => a + b);
  const sorted = [...points.map(([p]) => p)].sort((a, b) => a - b);
  const heavy = [...pressure].sort((a, b) => b - a);
  let [carried, half] = [0, 0];
  while (half < count && carried < total / 2) carried += heavy[half++];
  return { points, pressure, total, median: sorted[count >> 1], mean: total / count, half, count };
}

function sentence(epochs, { median, mean, half, count }, { epoch, weight }) {
  return `After ${epochs[epoch]}: median confidence ${percent(median)}. The ${weights[weight][0]} ` +
    `weight is ${digits(mean)} on average, and half of it rests on ${half} of ${count} examples.`;
}

export default {
  render({ model, el }) {
    const { epochs, odds: packed } = model.get("state");
    const odds = decode(packed);
    const count = packed.shape[1];
    const controls = [
      { name: "epoch", label: "Training", type: "range", min: 0, max: epochs.length - 1,
        value: 0, format: (i) => epochs[i] },
      { name: "weight", label: "Regularizer", type: "choice", value: "gradient",
        options: Object.entries(weights).map(([name, [label]]) => [name, label]) },
    ];
    return mount({
      model, el, controls, name: "confidence-weights",
      draw(values, width) {
        const found = facts(odds, count, values);
        const shares = [new Array(BINS).fill(0), new Array(BINS).fill(0)];
        found.points.forEach(([p], i) => {
          const bin = Math.min(BINS - 1, Math.floor(p * BINS));
          shares[0][bin] += 1 / count;
          shares[1][bin] += found.pressure[i] / found.total;
        });
        const high = [0.2, 0.4, 0.6, 0.8, 1].find((v) => v >= Math.max(...shares.flat()) - 1e-9);
        const box = { left: 44, width: width - 54 };
        const top = plot({ ...box, top: 28, height: 110, xs: [0, 1], ys: [0, 1],
          yLabel: "weight on the squared margin gradient", xTicks: [], yTicks: [0, 0.5, 1] });
        const area = plot({ ...box, top: 178, height: 150, xs: [0, 1], ys: [0, high],
          xLabel: "confidence in the true class", yLabel: "share in each twentieth",
          yTicks: [0, high / 2, high] });
        const ps = Array.from({ length: 101 }, (_, i) => i / 100);
        const curves = Object.entries(weights).map(([name, [, f]]) => path(
          ps.map((p) => [top.x(p), top.y(f(p, 1 - p))]),
          name === values.weight ? "cl-l2" : "cl-l0 cl-faint"));
        const step = box.width / BINS;
        const bars = shares.map((list, side) => list.map((share, i) =>
          `<rect class="${side ? "cl-f2" : "cl-f1"}" x="${(box.left + i * step + (side ? step / 2 : 1)).toFixed(1)}" ` +
          `y="${area.y(share).toFixed(1)}" width="${(step / 2 - 1).toFixed(1)}" ` +
          `height="${(area.y(0) - area.y(share)).toFixed(1)}"/>`));
        const key = legend([["square", "cl-f1", "share of the examples"],
          ["square", "cl-f2", "share of the weight"], ["line", "cl-l2", weights[values.weight][0]],
          ["line", "cl-l0 cl-faint", "the others"]], 0, 386, width);
        const svg = picture("Weights of regularizers over the confidence, and where examples lie",
          width, 386 + key.height, key.drawn, top.frame, curves, area.frame, bars);
        return { svg, readout: sentence(epochs, found, values) };
      },
    });
  },
};
