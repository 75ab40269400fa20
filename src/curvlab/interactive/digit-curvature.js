// A digit walks along a direction: loss, quadratic model and probabilities of two networks.
import { network, decode, curvature, forward, softmax, marginCrossEntropy, lanczos, symmetricEigen, normals, dot, norm, add, scale } from "./numerics.js";
import { mount, plot, picture, text, line, path, circle, raster, image, legend, digits, percent } from "./kit.js";

const REACH = 3;

// Gradient and leading eigenvectors of the Hessian, each pointing uphill. The Hessian of a
// network has at most the rank of its first layer, so a few steps exhaust it.
function directions(net, x, label) {
  const here = curvature(net, x, label);
  const draw = normals(1);
  const start = Float64Array.from(x, draw);
  const { diagonal, offDiagonal, basis } =
    lanczos(here.product, start, Math.min(net.layers[0].rows + 2, x.length));
  const small = diagonal.map((_, i) => diagonal.map((__, j) =>
    (i === j ? diagonal[i] : Math.abs(i - j) === 1 ? offDiagonal[Math.min(i, j)] : 0)));
  const { values, vectors } = symmetricEigen(small);
  const eigenvector = (rank) => {
    const weights = vectors[values.length - rank];
    const v = basis.slice(0, weights.length).reduce((sum, q, i) => add(sum, q, weights[i]),
      new Float64Array(x.length));
    return scale(v, (dot(v, here.gradient) < 0 ? -1 : 1) / norm(v));
  };
  return {
    ...here,
    top: values.at(-1),
    gradientDirection: scale(here.gradient, 1 / norm(here.gradient)),
    first: eigenvector(1),
    second: eigenvector(2),
  };
}

function walk({ net }, x, label, direction) {
  const here = directions(net, x, label);
  const v = { gradient: here.gradientDirection, first: here.first, second: here.second }[direction];
  const [slope, bend] = [dot(here.gradient, v), dot(v, here.product(v))];
  const at = (t) => {
    const { logits } = forward(net, add(x, v, t));
    return { loss: marginCrossEntropy(logits, label).value, probabilities: softmax(logits) };
  };
  const curve = Array.from({ length: 61 }, (_, i) => REACH * (i / 30 - 1))
    .map((t) => [t, at(t).loss]);
  const model = (t) => here.loss + t * slope + (t * t * bend) / 2;
  return { v, at, curve, model, slope, top: here.top, loss: here.loss };
}

const best = (probabilities) => probabilities.indexOf(Math.max(...probabilities));

function sentence(names, walks, distance) {
  const parts = walks.map(({ loss, at, model }, i) => {
    const { loss: now, probabilities } = at(distance);
    const winner = best(probabilities);
    return `${names[i]}: loss ${digits(loss)} becomes ${digits(now)} (quadratic model ` +
      `${digits(model(distance))}), answer ${winner} with ${percent(probabilities[winner])}.`;
  });
  return `${digits(distance)} along the direction. ${parts.join(" ")}`;
}

function column({ label }, walked, x, truth, distance, ceiling, left, top, width) {
  const { v, at, curve, model, slope, loss } = walked;
  const largest = Math.max(...v.map(Math.abs));
  const tint = raster(v, 28, (p) => [...(p > 0 ? [232, 120, 30] : [40, 130, 220]),
    255 * Math.min(1, Math.abs(p) / largest)]);
  const moved = raster(add(x, v, distance), 28, (p) => {
    const gray = 255 * Math.min(1, Math.max(0, p));
    return [gray, gray, gray, 255];
  });
  const { loss: now, probabilities } = at(distance);
  const winner = best(probabilities);
  const barsLeft = left + 206;
  const step = Math.min(15, (width - 206) / 10);
  const foot = top + 106;
  const bars = Array.from(probabilities, (p, k) => {
    const [at_, kind] = [barsLeft + k * step, k === truth ? "cl-f3" : "cl-f2"];
    return `<rect class="${kind}" x="${at_}" y="${foot - 70 * p}" width="${step - 4}" ` +
      `height="${70 * p + 1}"/>` + text(at_ + step / 2 - 2, foot + 14, String(k), {
      anchor: "middle", kind: k === truth ? "cl-tick cl-bold cl-t3" : "cl-tick" });
  });
  const area = plot({ left: left + 36, top: top + 166, width: width - 44, height: 170,
    xs: [-REACH, REACH], ys: [0, ceiling], xLabel: "distance walked", yLabel: "loss" });
  const inFrame = ([, y]) => y >= 0 && y <= ceiling;
  const trace = (f) => curve.map(([t]) => [t, f(t)]).filter(inFrame)
    .map(([t, y]) => [area.x(t), area.y(y)]);
  return [
    text(left, top + 6, `${label}: top curvature ${digits(walked.top)}`, { kind: "cl-bold" }),
    image(tint, left, top + 22, 90, 90, "cl-pixels"),
    `<rect class="cl-axis" x="${left}" y="${top + 22}" width="90" height="90"/>`,
    image(moved, left + 100, top + 22, 90, 90, "cl-pixels"),
    text(left + 45, top + 128, "direction", { anchor: "middle", kind: "cl-tick" }),
    text(left + 145, top + 128, "digit now", { anchor: "middle", kind: "cl-tick" }),
    line(barsLeft, foot + 1, barsLeft + 10 * step - 4, foot + 1, "cl-axis"),
    bars,
    text(barsLeft, top + 30, `${winner}: ${percent(probabilities[winner])}`,
      { kind: winner === truth ? "cl-bold cl-t3" : "cl-bold cl-t2" }),
    area.frame,
    path(trace((t) => loss + t * slope), "cl-l0 cl-dot cl-faint"),
    path(trace(model), "cl-l2 cl-dash"),
    path(curve.filter(inFrame).map(([t, y]) => [area.x(t), area.y(y)]), "cl-l1"),
    circle(area.x(distance), area.y(Math.min(now, ceiling)), 5.5, "cl-f1 cl-rim"),
  ];
}

// A pad of 28 x 28 pixels to draw on, by pointer or by keys.
function drawingPad() {
  const pixels = new Float64Array(784);
  const canvas = Object.assign(document.createElement("canvas"), { width: 168, height: 168, tabIndex: 0 });
  canvas.className = "cl-pad";
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Drawing pad: drag to draw; or arrow keys to move, " +
    "space to lower and lift the pen, Delete to clear");
  let [pen, down] = [[14, 8], false];
  const paint = () => {
    const context = canvas.getContext("2d");
    pixels.forEach((v, i) => {
      context.fillStyle = `rgb(${255 * v},${255 * v},${255 * v})`;
      context.fillRect(6 * (i % 28), 6 * Math.floor(i / 28), 6, 6);
    });
    context.strokeStyle = down ? "#ffa657" : "#6db6ff";
    context.strokeRect(6 * pen[0] - 3, 6 * pen[1] - 3, 6, 6);
    canvas.dispatchEvent(new Event("input"));
  };
  const dab = ([x, y]) => pixels.forEach((v, i) => {
    const away = Math.hypot((i % 28) + 0.5 - x, Math.floor(i / 28) + 0.5 - y);
    pixels[i] = Math.max(v, Math.min(1, Math.max(0, 1.8 - away)));
  });
  const go = (x, y, draws) => {
    const from = pen;
    pen = [x, y].map((v) => Math.min(27, Math.max(1, v)));
    for (let k = 0; draws && k <= 8; k++) dab(from.map((v, i) => v + ((pen[i] - v) * k) / 8));
    paint();
  };
  const place = (event, draws) => go(event.offsetX * 28 / canvas.clientWidth,
    event.offsetY * 28 / canvas.clientHeight, draws);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    place(event, false);
    place(event, true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) place(event, true);
  });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (event.key === " ") down = !down;
    else if (event.key === "Delete" || event.key === "Backspace") pixels.fill(0);
    else if (!step) return;
    event.preventDefault();
    go(pen[0] + (step?.[0] ?? 0), pen[1] + (step?.[1] ?? 0), down);
  });
  // Digits of the training set have their center of mass in the middle; so has the drawing.
  const centered = () => {
    const mass = pixels.reduce((a, b) => a + b, 0) || 1;
    const shift = [(i) => i % 28, (i) => Math.floor(i / 28)].map((f) =>
      Math.round(14 - pixels.reduce((sum, v, i) => sum + v * (f(i) + 0.5), 0) / mass));
    return pixels.map((_, i) => {
      const [x, y] = [(i % 28) - shift[0], Math.floor(i / 28) - shift[1]];
      return x < 0 || x > 27 || y < 0 || y > 27 ? 0 : pixels[28 * y + x];
    });
  };
  paint();
  return { canvas, centered };
}

export default {
  render({ model, el }) {
    const { networks, images, labels } = model.get("state");
    const pixels = decode(images);
    const nets = networks.map(({ label, net }) => ({ label, net: network(net) }));
    const known = new Map();
    const pad = drawingPad();
    const answers = (x, label, direction) => nets.map((net) => walk(net, x, label, direction));
    const walks = (digit, direction) => {
      if (digit === "drawn") {
        const x = pad.centered();
        const label = best(forward(nets[0].net, x).logits);
        return { x, label, found: answers(x, label, direction) };
      }
      const question = `${digit} ${direction}`;
      const [x, label] = [pixels.slice(784 * digit, 784 * (Number(digit) + 1)), labels[digit]];
      if (!known.has(question)) known.set(question, answers(x, label, direction));
      return { x, label, found: known.get(question) };
    };
    const controls = [
      { name: "digit", label: "Digit", type: "choice", value: "0",
        options: [...labels.map((label, i) => [String(i), `a ${label}`]),
          ["drawn", "your own drawing"]] },
      { name: "direction", label: "Direction", type: "choice", value: "gradient",
        options: [["gradient", "loss gradient"], ["first", "top eigenvector"],
          ["second", "second eigenvector"]] },
      { name: "distance", label: "Distance walked", type: "range", min: -REACH, max: REACH,
        step: 0.05, value: 1 },
    ];
    return mount({
      model, el, controls, name: "digit-curvature", aside: pad.canvas,
      draw({ digit, direction, distance }, width) {
        pad.canvas.hidden = digit !== "drawn";
        const { x, label, found } = walks(digit, direction);
        const ceiling = Math.max(0.5, ...found.flatMap(({ curve }) => curve.map(([, y]) => y)));
        const wide = width >= 660;
        const each = wide ? (width - 30) / 2 : width;
        const columns = found.map((walked, i) => column(nets[i], walked, x, label, distance,
          ceiling, wide ? i * (each + 30) : 0, 10 + (wide ? 0 : 404 * i), each));
        const foot = (wide ? 390 : 794) + 12;
        const key = legend([["line", "cl-l1", "true loss"], ["line", "cl-l2 cl-dash",
          "quadratic model"], ["line", "cl-l0 cl-dot cl-faint", "linear model"]], 0, foot, width);
        const svg = picture("Loss of two networks along a direction from a digit", width,
          foot + key.height, columns, key.drawn);
        const words = sentence(nets.map((net) => net.label), found, distance);
        return { svg, readout: digit === "drawn" ? `Your drawing, taken as a ${label}. ${words}` : words };
      },
    });
  },
};
