// Every trained network of the study on two axes of choice, its Pareto front, and the same in words.
import { mount, plot, picture, text, path, mark, legend, ticks, digits, escape } from "./kit.js";

const SHAPES = ["circle", "square", "triangle", "diamond"];

const ahead = (a, b, axes) => axes.every(({ name, better }) =>
  (better === "high" ? a.values[name] >= b.values[name] : a.values[name] <= b.values[name])) &&
  axes.some(({ name }) => a.values[name] !== b.values[name]);

const write = (v, { percent }) => (percent ? `${(100 * v).toFixed(1)}%` : digits(v));

function choose({ rows, axes }, { cell, across, up }) {
  const chosen = [across, up].map((name) => axes.find((axis) => axis.name === name));
  const shown = rows.filter((row) => row.cell === cell &&
    chosen.every(({ name }) => row.values[name] !== undefined));
  const front = shown.filter((row) => !shown.some((other) => ahead(other, row, chosen)));
  return { chosen, shown, front };
}

function sentence({ chosen: [a, b], shown, front }, { cell }) {
  const names = front.map(({ label }) => label).join(", ");
  const many = front.length === 1 ? "1 is" : `${front.length} are`;
  return shown.length === 0 ? `No network of ${cell} has both measured.`
    : `${shown.length} networks of ${cell}; ${many} on the Pareto front of ${a.label} and ` +
      `${b.label}: ${names}.`;
}

function table({ chosen: [a, b], shown, front }) {
  const sign = b.better === "high" ? -1 : 1;
  const rows = [...shown].sort((r, s) => sign * (r.values[b.name] - s.values[b.name]));
  const cells = rows.map((row) => `<tr><th scope="row">${escape(row.label)}</th>` +
    `<td>${write(row.values[a.name], a)}</td><td>${write(row.values[b.name], b)}</td>` +
    `<td>${front.includes(row) ? "yes" : "no"}</td></tr>`).join("");
  return `<div class="cl-scroll" tabindex="0" role="region" aria-label="The same in numbers"><table>` +
    `<thead><tr><th scope="col">network</th><th scope="col">${escape(a.label)}</th>` +
    `<th scope="col">${escape(b.label)}</th><th scope="col">on the front</th></tr></thead>` +
    `<tbody>${cells}</tbody></table></div>`;
}

function limits(values, percent) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 0.08 * (high - low || Math.abs(high) || 1);
  return percent ? [Math.max(-0.02, low - pad), Math.min(1.02, high + pad)] : [low - pad, high + pad];
}

function drawing({ chosen: [a, b], shown, front }, methods, width) {
  const box = { left: 50, top: 28, width: width - 62, height: 300 };
  const xs = limits(shown.map((row) => row.values[a.name]), a.percent);
  const ys = limits(shown.map((row) => row.values[b.name]), b.percent);
  const xTicks = ticks(...xs, Math.max(5, box.width / 70));
  const area = plot({ ...box, xs, ys, xTicks, xLabel: a.label, yLabel: b.label });
  const at = (row) => [area.x(row.values[a.name]), area.y(row.values[b.name])];
  const sorted = [...front].sort((r, s) => r.values[a.name] - s.values[a.name]);
  const taken = [];
  const label = (row) => {
    const [x, y] = at(row);
    const wide = 7.5 * row.label.length;
    const right = x + wide + 12 > width;
    const spot = [right ? x - wide - 10 : x + 10, y + 4, wide];
    if (spot[0] < box.left || y > box.top + box.height - 8 ||
        taken.some(([u, v, w]) => Math.abs(v - spot[1]) < 17 && u < spot[0] + wide && spot[0] < u + w)) {
      return "";
    }
    taken.push(spot);
    return text(x + (right ? -10 : 10), y + 4, row.label, { anchor: right ? "end" : "start" });
  };
  const style = (method) => {
    const i = methods.indexOf(method);
    const fill = i < 16 ? "f" : "l";  // sixteen shapes and colors, then the same ones hollow
    return [SHAPES[i % 4], `cl-${fill}${1 + (Math.floor(i / 4) + i) % 4}`];
  };
  const key = legend([...methods.filter((m) => shown.some((row) => row.method === m))
    .map((m) => [...style(m), m]), ["line", "cl-l0 cl-dash cl-faint", "Pareto front"]], 0, 388, width);
  return picture("Networks of the study on two axes", width, 388 + key.height, key.drawn, area.frame,
    path(sorted.map(at), "cl-l0 cl-dash cl-faint"),
    shown.map((row) => {
      const [shape, kind] = style(row.method);
      const rim = kind.startsWith("cl-f") ? "cl-rim" : "";  // a rim would hide a hollow mark
      return mark(shape, ...at(row), front.includes(row) ? 6 : 4.5,
        `${kind} ${front.includes(row) ? rim : "cl-half"}`);
    }),
    sorted.map(label));
}

export default {
  render({ model, el }) {
    const state = model.get("state");
    const { rows, axes } = state;
    const cells = [...new Set(rows.map(({ cell }) => cell))];
    const methods = [...new Set(rows.map(({ method }) => method))];
    const axis = (name, label, value) => ({ name, label, type: "choice", value,
      options: axes.map(({ name: id, label: words }) => [id, words]) });
    const controls = [
      { name: "cell", label: "Data, network, activation", type: "choice", value: cells[0],
        options: cells.map((cell) => [cell, cell]) },
      axis("across", "Across", axes[0].name), axis("up", "Up", axes[1].name),
    ];
    return mount({
      model, el, controls, name: "benchmark-explorer",
      draw(values, width) {
        const found = choose(state, values);
        const svg = found.shown.length ? drawing(found, methods, width) + table(found)
          : picture("Nothing measured", width, 40, text(0, 24, "nothing measured"));
        return { svg, readout: sentence(found, values) };
      },
    });
  },
};
