// A point in the plane: loss surface, gradient, curvature, and four guesses of the worst point.
import { network, decode, curvature, forward, marginCrossEntropy, symmetricEigen, trustRegion, squareMaximum, dot, norm, add, scale } from "./numerics.js";
import { mount, plot, picture, text, line, path, circle, mark, raster, image, contour, segments, legend, digits } from "./kit.js";

const SIDE = 33;

const projections = {
  l2: (d, radius) => scale(d, Math.min(1, radius / norm(d))),
  linf: (d, radius) => d.map((v) => Math.min(radius, Math.max(-radius, v))),
};

const steepest = {
  l2: (g) => scale(g, 1 / norm(g)),
  linf: (g) => g.map(Math.sign),
};

const quadratic = {
  l2({ gradient }, { values, vectors }, radius) {
    const { step } = trustRegion(values, vectors.map((v) => dot(v, gradient)), radius);
    return add(scale(vectors[0], step[0]), vectors[1], step[1]);
  },
  linf: ({ gradient, matrix }, _, radius) => squareMaximum(gradient, matrix, radius),
};

// The point of the ball's shape at a radius and an angle.
function polar(ball, radius, turn) {
  const d = [Math.cos(turn), Math.sin(turn)];
  return scale(d, ball === "l2" ? radius : radius / Math.max(...d.map(Math.abs)));
}

// Exhaustive search: 16 rings of 96 points, then the best of them refined by halving steps.
function search(lossAt, center, ball, radius) {
  let best = [center, 0, 0];
  const attempt = (r, turn) => {
    const loss = lossAt(polar(ball, r, turn));
    if (loss > best[0]) best = [loss, r, turn];
  };
  for (let i = 1; i <= 16; i++) {
    for (let k = 0; k < 96; k++) attempt((radius * i) / 16, (2 * Math.PI * k) / 96);
  }
  for (let step = 0.5; step > 1e-4; step /= 2) {
    const [, r, turn] = best;
    for (const s of [-step, step]) {
      attempt(Math.min(radius, r + (s * radius) / 16), turn);
      attempt(r, turn + (s * 2 * Math.PI) / 96);
    }
  }
  return polar(ball, best[1], best[2]);
}

function attack(net, x, label, ball, radius) {
  const lossAt = (d) => marginCrossEntropy(forward(net, add(x, d)).logits, label).value;
  const here = curvature(net, x, label);
  const columns = [[1, 0], [0, 1]].map(here.product);
  here.matrix = [[columns[0][0], columns[1][0]], [columns[0][1], columns[1][1]]];
  const eigen = symmetricEigen(here.matrix);
  const linear = scale(steepest[ball](here.gradient), radius);
  let pgd = [0, 0];
  for (let k = 0; k < 20; k++) {
    const { gradient } = curvature(net, add(x, pgd), label);
    pgd = projections[ball](add(pgd, steepest[ball](gradient), radius / 8), radius);
  }
  const guesses = [
    ["linear model", linear, "triangle", "cl-f2"],
    ["quadratic model", quadratic[ball](here, eigen, radius), "diamond", "cl-f4"],
    ["PGD", pgd, "square", "cl-f1"],
    ["exhaustive search", search(lossAt, here.loss, ball, radius), "circle", "cl-f3"],
  ].map(([name, d, shape, kind]) => ({ name, d, shape, kind, loss: lossAt(d) }));
  return { ...here, eigen, guesses, lossAt };
}

function sentence({ loss, gradient, eigen: { values }, guesses }) {
  const list = guesses.map((d) => `${d.name} ${digits(d.loss)}`).join(", ");
  return `Loss here ${digits(loss)}; slope ${digits(norm(gradient))}, curvatures ` +
    `${digits(values[1])} and ${digits(values[0])}. Loss at the worst point named by each: ${list}.`;
}

function map(cache, points, labels, x, found, { ball, radius, label }, area,
  { left, top, width, height }) {
  const place = ([i, j]) => [left + (width * i) / (cache.columns - 1),
    top + (height * j) / (cache.rows - 1)];
  const unit = area.x(1) - area.x(0);
  const [px, py] = [area.x(x[0]), area.y(x[1])];
  const g = scale(found.gradient, 0.1 / norm(found.gradient));
  return [
    image(cache.url, left, top, width, height),
    segments(cache.boundary.map((pair) => pair.map(place)), "cl-l0"),
    points.map((p, i) => mark(labels[i] ? "square" : "circle", area.x(p[0]), area.y(p[1]),
      labels[i] ? 2 : 2.3, `${labels[i] ? "cl-f4" : "cl-f1"} cl-half`)),
    // Near the border the ball would reach into the labels and into the close-up.
    `<svg x="${left}" y="${top}" width="${width}" height="${height}" ` +
      `viewBox="${[left, top, width, height]}">`,
    ballShape(ball, px, py, radius * unit, "cl-l0"),
    line(px, py, px + g[0] * unit, py - g[1] * unit, "cl-l2"),
    "</svg>",
    circle(px, py, 7, label ? "cl-f4 cl-rim" : "cl-f1 cl-rim"),
    circle(px, py, 24, "cl-grab"),
  ];
}

const ballShape = (ball, x, y, r, kind) => (ball === "l2" ? circle(x, y, r.toFixed(1), kind)
  : path([[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r]], kind, true));

function near(x, found, { ball, radius }, box) {
  const reach = 1.35 * radius;
  const area = plot({ ...box, xs: [-reach, reach], ys: [-reach, reach] });
  const grid = Array.from({ length: SIDE * SIDE }, (_, k) => [
    reach * ((2 * (k % SIDE)) / (SIDE - 1) - 1), reach * (1 - (2 * Math.floor(k / SIDE)) / (SIDE - 1))]);
  const truth = grid.map(found.lossAt);
  const { gradient, matrix: [[a, b], [, c]], loss } = found;
  const model = grid.map(([u, v]) => loss + gradient[0] * u + gradient[1] * v +
    (a * u * u) / 2 + b * u * v + (c * v * v) / 2);
  const place = ([i, j]) => [box.left + (box.width * i) / (SIDE - 1),
    box.top + (box.height * j) / (SIDE - 1)];
  const most = Math.max(...found.guesses.map((d) => d.loss));
  const least = Math.min(...truth);
  const levels = [0.2, 0.4, 0.6, 0.8].map((t) => least + t * (most - least));
  const draw = (values, level, kind) =>
    segments(contour(values, SIDE, level).map((pair) => pair.map(place)), kind);
  const [px, py] = [area.x(0), area.y(0)];
  const largest = Math.max(...found.eigen.values.map(Math.abs));
  const axes = found.eigen.vectors.map((v, i) => {
    const arm = scale(v, (0.55 * radius * Math.abs(found.eigen.values[i])) / largest);
    const kind = found.eigen.values[i] < 0 ? "cl-l0 cl-dot" : "cl-l0";
    return line(area.x(-arm[0]), area.y(-arm[1]), area.x(arm[0]), area.y(arm[1]), kind);
  });
  const g = scale(gradient, (0.8 * radius) / norm(gradient));
  return [
    levels.map((level) => [draw(truth, level, "cl-l1"), draw(model, level, "cl-l4 cl-dash")]),
    ballShape(ball, px, py, area.x(radius) - px, "cl-axis"),
    axes,
    line(px, py, area.x(g[0]), area.y(g[1]), "cl-l2"),
    found.guesses.map(({ d, shape, kind }, i) =>
      mark(shape, area.x(d[0]), area.y(d[1]), [9, 8, 6, 3.5][i], `${kind} cl-rim`)),
    text(box.left, box.top - 12, "close up", { kind: "cl-label" }),
  ];
}

const lines = [["line", "cl-l1", "true loss"], ["line", "cl-l4 cl-dash", "quadratic model"],
  ["line", "cl-l2", "gradient"], ["line", "cl-l0", "curvature directions, dotted if negative"]];

export default {
  render({ model, el }) {
    const { regularizers, networks, points: packed, labels, domain } = model.get("state");
    const flat = decode(packed);
    const points = labels.map((_, i) => [flat[2 * i], flat[2 * i + 1]]);
    const nets = networks.map(network);
    const chosen = (values) => regularizers.find(({ name }) => name === values.regularizer)
      .strengths[values.strength];
    const caches = new Map();
    const surface = (index, label) => {
      const key = 2 * index + label;
      if (caches.has(key)) return caches.get(key);
      const [columns, rows] = [72, 52];
      const logits = Array.from({ length: columns * rows }, (_, k) => forward(nets[index], [
        domain[0] + ((domain[1] - domain[0]) * (k % columns)) / (columns - 1),
        domain[3] - ((domain[3] - domain[2]) * Math.floor(k / columns)) / (rows - 1)]).logits);
      const losses = logits.map((z) => marginCrossEntropy(z, label).value);
      const cache = {
        columns, rows,
        url: raster(losses, columns, (v) => [225, 120, 40, 150 * (1 - Math.exp(-v))]),
        boundary: contour(logits.map(([a, b]) => a - b), columns, 0),
      };
      caches.set(key, cache);
      return cache;
    };
    let area;
    const longest = Math.max(...regularizers.map(({ strengths }) => strengths.length));
    const controls = [
      { name: "regularizer", label: "Regularizer", type: "choice", value: regularizers[0].name,
        options: regularizers.map(({ name, label }) => [name, label]) },
      { name: "strength", label: "Strength", type: "range", min: 0, max: longest - 1, value: 0,
        format: (_, values) => chosen(values).shown },
      { name: "label", label: "True class of the point", type: "choice", value: "0",
        options: [["0", "upper moon"], ["1", "lower moon"]] },
      { name: "ball", label: "Ball", type: "choice", value: "l2",
        options: [["l2", "l2 disc"], ["linf", "l∞ square"]] },
      { name: "radius", label: "Radius", type: "range", min: 0.01, max: 0.2, step: 0.005,
        value: 0.08 },
      ...["x", "y"].map((name, i) => ({ name, label: ["Point, across", "Point, up"][i],
        type: "range", min: domain[2 * i], max: domain[2 * i + 1], step: 0.005, value: 0.5 })),
    ];
    return mount({
      model, el, controls, name: "local-landscape",
      draw(values, width) {
        const { index } = chosen(values);
        const x = [values.x, values.y];
        const label = Number(values.label);
        const found = attack(nets[index], x, label, values.ball, values.radius);
        const wide = width >= 640;
        const [left, right, low, high] = domain;
        const across = wide ? Math.floor(width * 0.56) - 40 : width - 34;
        const box = { left: 30, top: 26, width: across, height: Math.round((across * (high - low)) / (right - left)) };
        area = plot({ ...box, xs: [left, right], ys: [low, high] });
        const side = wide ? Math.min(box.height, width - across - 50) : Math.min(width - 34, 300);
        const second = wide ? { left: across + 50, top: 26 } : { left: 30, top: box.height + 84 };
        const foot = (wide ? box.height : box.height + side + 58) + 72;
        const key = legend([...found.guesses.map(({ name, loss, shape, kind }) =>
          [shape, kind, `${name} ${digits(loss)}`]), ...lines], 0, foot, width);
        const svg = picture("Loss over the plane and close to the chosen point", width,
          foot + key.height, key.drawn,
          text(30, 14, "loss (shaded) and decision boundary", { kind: "cl-label" }),
          area.frame,
          map(surface(index, label), points, labels, x, found, { ...values, label }, area, box),
          near(x, found, values, { ...second, width: side, height: side }));
        return { svg, readout: sentence(found) };
      },
      onPoint(px, py) {
        return area.inside(px, py) ? { x: area.fromX(px), y: area.fromY(py) } : undefined;
      },
    });
  },
};
