// Ritz values converge to a network's input spectrum while power iteration follows behind.
import { lanczos, powerIteration, tridiagonalEigen } from "./numerics.js";
import { mount, plot, picture, text, line, path, mark, digits } from "./kit.js";

// In the eigenbasis the operator is a diagonal and the start a list of coordinates: Lanczos
// sees nothing else of a matrix.
function run({ eigenvalues, starts }, { start, reorthogonalize }, most) {
  const product = (v) => v.map((vi, i) => vi * eigenvalues[i]);
  const begin = Float64Array.from(starts[start]);
  const { diagonal, offDiagonal } = lanczos(product, begin, most, reorthogonalize);
  const ritz = diagonal.map((_, k) =>
    tridiagonalEigen(diagonal.slice(0, k + 1), offDiagonal.slice(0, k)).values);
  const power = powerIteration(product, begin, most).values;
  return { ritz, power };
}

const miss = (value, top) => Math.abs(value - top);

const copiesOf = (top, ritz) => ritz.filter((value) => miss(value, top) <= 1e-6 * top).length;

function sentence(spectrum, values, { ritz, power, live, top }) {
  const close = (value) =>
    miss(value, top) <= 1e-10 * top ? "equal to ten digits" : `${digits(miss(value, top), 2)} away`;
  const now = ritz[live - 1];
  const found = now[now.length - 1];
  const last = power[Math.min(values.steps, power.length) - 1];
  const ghosts = copiesOf(top, now) - 1;
  const done = live < values.steps ? ` Lanczos ended after ${live}: its space is exhausted.` : "";
  const copies =
    ghosts > 0 ? ` ${ghosts} ${ghosts === 1 ? "ghost copy" : "ghost copies"} of it appeared.` : "";
  return `${values.steps} Hessian-vector product${values.steps === 1 ? "" : "s"}. ` +
    `Largest eigenvalue ${digits(top)}. Lanczos has ${digits(found)}, ${close(found)}; ` +
    `power iteration has ${digits(last)}, ${close(last)}.${done}${copies}`;
}

function ritzPanel({ eigenvalues }, { steps }, most, { ritz, power, live, top }, box) {
  const low = Math.min(...eigenvalues, 0);
  const pad = 0.06 * (top - low);
  const area = plot({ ...box, xs: [0, most], ys: [low - pad, top + pad],
    xLabel: "Hessian-vector products", yLabel: "Ritz values, and the true spectrum at the edge" });
  const edge = box.left + box.width;
  const copies = copiesOf(top, ritz[live - 1]);
  return [
    area.frame,
    eigenvalues.map((v) => line(edge + 4, area.y(v), edge + 16, area.y(v), "cl-axis")),
    line(box.left, area.y(top), edge + 16, area.y(top), "cl-l0 cl-dot cl-faint"),
    line(area.x(steps), box.top, area.x(steps), box.top + box.height, "cl-grid"),
    path(power.slice(0, steps).map((v, k) => [area.x(k + 1), area.y(v)]), "cl-l2 cl-dash"),
    ritz.slice(0, live).map((values, k) => values.map((v) =>
      mark("circle", area.x(k + 1), area.y(v), k + 1 === live ? 4 : 2,
        `cl-f1 ${k + 1 === live ? "cl-rim" : "cl-faint"}`))),
    mark("square", area.x(Math.min(steps, power.length)),
      area.y(power[Math.min(steps, power.length) - 1]), 4, "cl-f2 cl-rim"),
    copies > 1
      ? text(area.x(live) + 6, area.y(top) + 19, `${copies} times`, { kind: "cl-bold cl-t1",
        anchor: live > 0.8 * most ? "end" : "start" }) : "",
  ];
}

function errorPanel({ steps }, most, { ritz, power, live, top }, box) {
  const area = plot({ ...box, xs: [0, most], ys: [-15, 0.6], log: true,
    xLabel: "Hessian-vector products", yLabel: "relative error of the largest" });
  const height = (v) => area.y(Math.max(-15, Math.log10(miss(v, top) / top + 1e-300)));
  const lanczosLine = ritz.slice(0, live).map((values, k) => [area.x(k + 1), height(values[k])]);
  const powerLine = power.slice(0, steps).map((v, k) => [area.x(k + 1), height(v)]);
  const [a, b] = [lanczosLine.at(-1), powerLine.at(-1)];
  const bottom = box.top + box.height;
  const side = ([x]) => (x > box.left + 0.6 * box.width ? ["end", x - 9] : ["start", x + 9]);
  const below = a[1] + 18 < bottom ? a[1] + 18 : a[1] - 8;
  const above = Math.max(b[1] - 8, box.top + 12);
  const name = (words, point, y, kind) =>
    text(side(point)[1], y, words, { anchor: side(point)[0], kind: `cl-bold ${kind}` });
  return [
    area.frame,
    path(powerLine, "cl-l2 cl-dash"),
    path(lanczosLine, "cl-l1"),
    mark("square", ...b, 4, "cl-f2 cl-rim"),
    mark("circle", ...a, 4.5, "cl-f1 cl-rim"),
    name("Lanczos", a, below, "cl-t1"),
    name("power iteration", b, below - above < 15 ? below - 16 : above, "cl-t2"),
  ];
}

export default {
  render({ model, el }) {
    const { spectra, most } = model.get("state");
    const known = new Map();
    const results = (spectrum, values) => {
      const question = [values.spectrum, values.start, values.reorthogonalize].join();
      if (!known.has(question)) known.set(question, run(spectrum, values, most));
      const { ritz, power } = known.get(question);
      const live = Math.min(values.steps, ritz.length);
      return { ritz, power, live, top: Math.max(...spectrum.eigenvalues) };
    };
    const controls = [
      { name: "steps", label: "Products spent", type: "range", min: 1, max: most, value: 8,
        format: String },
      { name: "spectrum", label: "Spectrum", type: "choice", value: spectra[0].name,
        options: spectra.map(({ name, label }) => [name, label]) },
      { name: "start", label: "Start vector", type: "choice", value: "random",
        options: [["random", "random"], ["gradient", "the loss gradient"]] },
      { name: "reorthogonalize", label: "Reorthogonalize", type: "switch", value: true },
    ];
    return mount({
      model, el, controls, name: "krylov-stepper",
      draw(values, width) {
        const spectrum = spectra.find(({ name }) => name === values.spectrum);
        const result = results(spectrum, values);
        const wide = width >= 640;
        const panel = wide ? (width - 150) / 2 : width - 84;
        const height = 230;
        const second = wide ? { left: panel + 132, top: 28 } : { left: 50, top: height + 100 };
        const svg = picture(
          "Ritz values and the error of the largest, against products spent",
          width, wide ? height + 70 : 2 * height + 142,
          ritzPanel(spectrum, values, most, result, { left: 50, top: 28, width: panel, height }),
          errorPanel(values, most, result, { ...second, width: wide ? panel : panel + 16, height }),
        );
        return { svg, readout: sentence(spectrum, values, result) };
      },
    });
  },
};
