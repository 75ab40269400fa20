// Margin, slope and curvature decide how far a decision is certified, and how far it can hold.
import { mount, plot, picture, text, line, path, circle, mark, legend, digits } from "./kit.js";

function radii({ margin: m, slope: g, curvature: k, lipschitz }) {
  const steep = Math.max(lipschitz, g);
  const bend = (2 * m) / (g + Math.sqrt(g * g + 2 * k * m));
  const turn = steep > g ? (steep - g) / k : 0;
  const spent = (turn * (g + steep)) / 2;
  const room = g * g - 2 * k * m;
  return {
    lipschitz: m / steep, curvature: bend,
    combined: spent < m ? turn + (m - spent) / steep : bend,
    attack: room >= 0 ? (2 * m) / (g + Math.sqrt(room)) : Infinity,
    turn, steep,
  };
}

function scaled(image, { margin, slope, curvature }) {
  return { ...image, margin: image.margin * 10 ** margin, slope: image.slope * 10 ** slope,
    curvature: image.curvature * 10 ** curvature };
}

function sentence(now, image, untouched) {
  const { lipschitz, curvature, combined, attack } = radii(now);
  const reach = Number.isFinite(attack) ? `an attack succeeds within ${digits(attack)}`
    : "no attack radius follows (slope² < 2 K margin)";
  const found = untouched ? ` PGD found one at ${digits(image.attack)}.` : "";
  return `Margin ${digits(now.margin)}, slope ${digits(now.slope)}, curvature at most ` +
    `${digits(now.curvature)}. Certified: ${digits(curvature)} by curvature, ${digits(lipschitz)} ` +
    `by Lipschitz constant, ${digits(combined)} combined; ${reach}.${found}`;
}

export default {
  render({ model, el }) {
    const { images } = model.get("state");
    const power = (name, label) => ({ name, label, type: "range", min: -1, max: 1, step: 0.05,
      value: 0, format: (v) => `× ${digits(10 ** v)}` });
    const controls = [
      { name: "image", label: "Test image", type: "choice", value: "0",
        options: images.map(({ label }, i) => [String(i), label]) },
      power("margin", "Margin"), power("slope", "Slope"), power("curvature", "Curvature"),
    ];
    return mount({
      model, el, controls, name: "certificate-bracket",
      draw(values, width) {
        const image = images[Number(values.image)];
        const now = scaled(image, values);
        const untouched = !values.margin && !values.slope && !values.curvature;
        const found = radii(now);
        const { margin: m, slope: g, curvature: k } = now;
        const last = Number.isFinite(found.attack) ? found.attack : 2.5 * found.combined;
        const far = 1.15 * Math.max(last, found.combined, untouched ? image.attack : 0);
        const box = { left: 44, top: 28, width: width - 54, height: 250 };
        const area = plot({ ...box, xs: [0, far], ys: [0, 1.05 * m],
          xLabel: "distance from the image", yLabel: "margin left" });
        const ts = Array.from({ length: 201 }, (_, i) => (far * i) / 200);
        const trace = (f) => ts.map((t) => [t, f(t)]).filter(([, v]) => v >= 0 && v <= 1.05 * m)
          .map(([t, v]) => [area.x(t), area.y(v)]);
        const combined = (t) => (t <= found.turn ? m - g * t - (k * t * t) / 2
          : m - (found.turn * (g + found.steep)) / 2 - found.steep * (t - found.turn));
        const upper = trace((t) => m - g * t + (k * t * t) / 2);
        const floor = area.y(0);
        const key = legend([["circle", "cl-f3", `combined ${digits(found.combined)}`],
          ["line", "cl-l3", "margin at least"],
          ["square", "cl-f4", `Lipschitz ${digits(found.lipschitz)}`],
          ["diamond", "cl-f1", `curvature ${digits(found.curvature)}`],
          ["triangle", "cl-f2", `attack ${digits(found.attack)}`],
          ["line", "cl-l2 cl-dash", "at most, against the gradient"],
          ...(untouched ? [["line", "cl-l0", `PGD ${digits(image.attack)}`]] : [])],
        0, box.height + 86, width);
        const bar = (r, shape, kind, size) => (r <= far
          ? mark(shape, area.x(r), floor, size, `${kind} cl-rim`) : "");
        const svg = picture("Bounds on the margin against the distance from the image", width,
          box.height + 86 + key.height, key.drawn, area.frame,
          `<rect class="cl-f3 cl-wash" x="${area.x(0)}" y="${box.top}" height="${box.height}" ` +
            `width="${area.x(Math.min(far, found.combined)) - area.x(0)}"/>`,
          path(trace(combined), "cl-l3"), path(upper, "cl-l2 cl-dash"),
          text(area.x(0) + 8, floor - 10, "certified", { kind: "cl-t3 cl-bold" }),
          bar(found.lipschitz, "square", "cl-f4", 5), bar(found.curvature, "diamond", "cl-f1", 6),
          bar(found.combined, "circle", "cl-f3", 6), bar(found.attack, "triangle", "cl-f2", 7),
          untouched ? line(area.x(image.attack), box.top, area.x(image.attack), floor, "cl-l0") : "");
        return { svg, readout: sentence(now, image, untouched) };
      },
    });
  },
};
