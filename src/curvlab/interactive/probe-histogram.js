// Random probes estimate the squared norm of a Jacobian: their spread against the exact law.
import { decode, normals, dot } from "./numerics.js";
import { mount, plot, picture, text, line, path, circle, legend, digits } from "./kit.js";

const DRAWS = 400;

const laws = {
  gaussian: (z) => z,
  rademacher: (z) => z.map((v) => (v < 0 ? -1 : 1)),
  sphere: (z) => {
    const size = Math.sqrt(z.length / dot(z, z));
    return z.map((v) => v * size);
  },
};

// The variance of one probe (Gaussian, Rademacher, and the sphere of radius sqrt(n)).
function variance(matrix, law) {
  const n = matrix.length;
  const trace = matrix.reduce((sum, row, i) => sum + row[i], 0);
  const square = matrix.reduce((sum, row) => sum + dot(row, row), 0);
  const diagonal = matrix.reduce((sum, row, i) => sum + row[i] * row[i], 0);
  return { gaussian: 2 * square, rademacher: 2 * (square - diagonal),
    sphere: (2 / (n + 2)) * (n * square - trace * trace) }[law];
}

function estimates(matrix, law, probes) {
  const n = matrix.length;
  const normal = normals(1);
  return Array.from({ length: DRAWS }, () => {
    let sum = 0;
    for (let k = 0; k < probes; k++) {
      const z = laws[law](Array.from({ length: n }, normal));
      for (let i = 0; i < n; i++) sum += z[i] * dot(matrix[i], z);
    }
    return sum / probes;
  });
}

function facts(matrix, { law, probes }) {
  const exact = matrix.reduce((sum, row, i) => sum + row[i], 0);
  const found = estimates(matrix, law, probes);
  const mean = found.reduce((a, b) => a + b) / DRAWS;
  const spread = Math.sqrt(found.reduce((sum, v) => sum + (v - mean) ** 2, 0) / DRAWS);
  return { exact, found, mean, spread, predicted: Math.sqrt(Math.max(0, variance(matrix, law)) / probes) };
}

function sentence({ exact, mean, spread, predicted }, { probes }) {
  const close = (v) => (v <= 1e-9 * exact ? "0" : digits(v));
  return `${DRAWS} estimates from ${probes} probe${probes === 1 ? "" : "s"} each: mean ` +
    `${digits(mean)}, exact ${digits(exact)}. Their spread is ${close(spread)}; the formula says ` +
    `${close(predicted)}, ${digits((100 * predicted) / exact)}% of the exact value.`;
}

export default {
  render({ model, el }) {
    const { spectra } = model.get("state");
    const matrices = spectra.map(({ gram }) => {
      const [flat, [n]] = [decode(gram), gram.shape];
      return Array.from({ length: n }, (_, i) => flat.slice(n * i, n * (i + 1)));
    });
    const controls = [
      { name: "spectrum", label: "Jacobian", type: "choice", value: "0",
        options: spectra.map(({ label }, i) => [String(i), label]) },
      { name: "law", label: "Probes", type: "choice", value: "gaussian",
        options: [["gaussian", "Gaussian"], ["rademacher", "random signs"],
          ["sphere", "on the sphere"]] },
      { name: "probes", label: "Probes for each estimate", type: "range", min: 1, max: 32,
        value: 1, format: String },
    ];
    return mount({
      model, el, controls, name: "probe-histogram",
      draw(values, width) {
        const matrix = matrices[Number(values.spectrum)];
        const found = facts(matrix, values);
        const { exact, mean, predicted } = found;
        const single = Math.sqrt(variance(matrix, "gaussian"));
        const far = exact + 3 * single;
        const bins = Math.round(Math.min(60, width / 12));
        const counts = new Array(bins).fill(0);
        for (const v of found.found) counts[Math.min(bins - 1, Math.floor((bins * v) / far))] += 1;
        const high = Math.max(...counts);
        const box = { left: 44, top: 28, width: width - 54, height: 210 };
        const area = plot({ ...box, xs: [0, far], ys: [0, 1.08 * high],
          xLabel: "estimate of the squared norm", yLabel: `estimates out of ${DRAWS}` });
        const bars = counts.map((c, i) => `<rect class="cl-f1 cl-half" x="${area.x((far * i) / bins) + 0.5}" ` +
          `y="${area.y(c)}" width="${box.width / bins - 1}" height="${area.y(0) - area.y(c)}"/>`);
        const y = area.y(1.04 * high);
        const key = legend([["line", "cl-l0", `exact ${digits(exact)}`],
          ["circle", "cl-f1", `mean ${digits(mean)}`],
          ["line", "cl-l2 cl-dash", "exact ± one predicted deviation"]], 0, box.height + 88, width);
        const svg = picture("Histogram of the estimates", width, box.height + 88 + key.height,
          key.drawn, area.frame, bars,
          line(area.x(exact), box.top, area.x(exact), area.y(0), "cl-l0"),
          line(area.x(Math.max(0, exact - predicted)), y, area.x(exact + predicted), y, "cl-l2 cl-dash"),
          circle(area.x(mean), area.y(0), 5, "cl-f1 cl-rim"));
        return { svg, readout: sentence(found, values) };
      },
    });
  },
};
