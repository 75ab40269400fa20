// The numerics of the live figures: plain arithmetic on arrays, no page, no dependency.
// Vectors are Float64Array; matrices are row-major. Names follow curvlab's Python.

// A float16 number from its 16 bits.
const fromHalf = (bits) => {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size =
    exponent === 0 ? fraction * 2 ** -24
    : exponent === 31 ? (fraction ? NaN : Infinity)
    : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits >> 15 ? -size : size;
};

// The numbers of an array that travels as base64: {f16: "..."} or {u8: "..."} (bytes / 255).
export function decode(packed) {
  const text = atob(packed.f16 ?? packed.u8);
  if (packed.u8 !== undefined) return Float64Array.from(text, (c) => c.charCodeAt(0) / 255);
  const numbers = new Float64Array(text.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = fromHalf(text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 8));
  }
  return numbers;
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export const norm = (a) => Math.sqrt(dot(a, a));

// a + t b
export function add(a, b, t = 1) {
  const out = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i] + t * b[i];
  return out;
}

export function scale(a, t) {
  const out = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i] * t;
  return out;
}

// The error function from its series of positive terms: nothing cancels.
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const normalDensity = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);

export const normalCdf = (x) => (1 + erf(x / Math.SQRT2)) / 2;

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// Each activation with its first and second derivative.
const activations = {
  relu: [(x) => Math.max(x, 0), (x) => (x > 0 ? 1 : 0), () => 0],
  softplus: [
    (x, beta) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(beta * x))) / beta,
    (x, beta) => sigmoid(beta * x),
    (x, beta) => beta * sigmoid(beta * x) * sigmoid(-beta * x),
  ],
  tanh: [Math.tanh, (x) => 1 - Math.tanh(x) ** 2, (x) => -2 * Math.tanh(x) * (1 - Math.tanh(x) ** 2)],
  silu: [
    (x) => x * sigmoid(x),
    (x) => sigmoid(x) * (1 + x * sigmoid(-x)),
    (x) => sigmoid(x) * sigmoid(-x) * (2 + x * (1 - 2 * sigmoid(x))),
  ],
  gelu: [
    (x) => x * normalCdf(x),
    (x) => normalCdf(x) + x * normalDensity(x),
    (x) => normalDensity(x) * (2 - x * x),
  ],
};

// A fully connected network from the form in which it travels.
export function network({ activation, beta = 1, layers }) {
  return {
    activation: activations[activation].map((f) => (x) => f(x, beta)),
    layers: layers.map(({ weight, bias }) => ({
      weight: decode(weight), bias: decode(bias), rows: weight.shape[0], columns: weight.shape[1],
    })),
  };
}

function times({ weight, rows, columns }, x, bias) {
  const out = new Float64Array(rows);
  for (let i = 0, at = 0; i < rows; i++) {
    let sum = bias ? bias[i] : 0;
    for (let j = 0; j < columns; j++) sum += weight[at++] * x[j];
    out[i] = sum;
  }
  return out;
}

function transposeTimes({ weight, rows, columns }, u) {
  const out = new Float64Array(columns);
  for (let i = 0, at = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j] += weight[at++] * u[i];
  }
  return out;
}

// One forward pass; `hidden` keeps what enters each activation for the way back.
export function forward(net, x) {
  const hidden = [];
  let out = x;
  net.layers.forEach((layer, index) => {
    out = times(layer, out, layer.bias);
    if (index === net.layers.length - 1) return;
    hidden.push(out);
    out = out.map(net.activation[0]);
  });
  return { logits: out, hidden };
}

export function softmax(logits) {
  const top = Math.max(...logits);
  const weights = Float64Array.from(logits, (z) => Math.exp(z - top));
  return scale(weights, 1 / weights.reduce((a, b) => a + b));
}

// Cross-entropy through margins: log(1 + sum over j of exp(z_j - z_y)) keeps its digits when
// the network is sure, and so does its gradient p - e_y.
export function marginCrossEntropy(logits, label) {
  const residual = new Float64Array(logits.length);
  const top = Math.max(0, ...logits.map((z, j) => (j === label ? 0 : z - logits[label])));
  let others = 0;
  logits.forEach((z, j) => {
    if (j !== label) others += residual[j] = Math.exp(z - logits[label] - top);
  });
  const total = others + Math.exp(-top);
  residual[label] = -others;
  return { value: top === 0 ? Math.log1p(others) : top + Math.log(total),
    residual: scale(residual, 1 / total) };
}

// The loss at x with its gradient and a product with its exact Hessian.
// The product runs forward over reverse: a tangent of the forward pass, then of the backward one.
export function curvature(net, x, label) {
  const { logits, hidden } = forward(net, x);
  const [slopes, bends] = [1, 2].map((order) => hidden.map((z) => z.map(net.activation[order])));
  const { value, residual } = marginCrossEntropy(logits, label);
  const probabilities = residual.map((r, j) => (j === label ? 1 + r : r));

  const backward = (tangents, tangentOfLogits) => {
    let u = residual;
    let du = tangentOfLogits;
    for (let l = net.layers.length - 1; l >= 0; l--) {
      u = transposeTimes(net.layers[l], u);
      du = du && transposeTimes(net.layers[l], du);
      if (l === 0) break;
      const [slope, bend] = [slopes[l - 1], bends[l - 1]];
      du = du && du.map((d, i) => d * slope[i] + u[i] * bend[i] * tangents[l - 1][i]);
      u = u.map((ui, i) => ui * slope[i]);
    }
    return du ?? u;
  };

  return {
    loss: value, logits, probabilities,
    gradient: backward(),
    product(v) {
      const tangents = [];
      let dz = v;
      net.layers.forEach((layer, l) => {
        dz = times(layer, l ? dz.map((d, i) => d * slopes[l - 1][i]) : dz);
        tangents.push(dz);
      });
      const mean = dot(probabilities, dz);
      return backward(tangents, dz.map((d, j) => probabilities[j] * (d - mean)));
    },
  };
}

// Lanczos tridiagonalization. Plain means the three-term recurrence as published in 1950.
export function lanczos(product, start, steps, reorthogonalize = true) {
  const diagonal = [];
  const offDiagonal = [];
  let q = scale(start, 1 / norm(start));
  const basis = [q];
  let beta = 0;
  while (diagonal.length < steps) {
    const last = diagonal.length;
    let r = product(q);
    if (last) r = add(r, basis[last - 1], -beta);
    const alpha = dot(q, r);
    r = add(r, q, -alpha);
    if (reorthogonalize) {
      for (let sweep = 0; sweep < 2; sweep++) {
        for (const b of basis) r = add(r, b, -dot(b, r));
      }
    }
    diagonal.push(alpha);
    beta = norm(r);
    const size = Math.max(...diagonal.map(Math.abs), ...offDiagonal);
    if (beta <= 1e-13 * size || last + 1 === steps) break;
    offDiagonal.push(beta);
    q = scale(r, 1 / beta);
    basis.push(q);
  }
  return { diagonal, offDiagonal, basis, residual: beta };
}

// Power iteration; `values` holds the Rayleigh quotient before each step.
export function powerIteration(product, start, steps) {
  let v = scale(start, 1 / norm(start));
  const values = [];
  for (let k = 0; k < steps; k++) {
    const hv = product(v);
    values.push(dot(v, hv));
    const length = norm(hv);
    if (length === 0) break;
    v = scale(hv, 1 / length);
  }
  return { values, vector: v };
}

// Eigenpairs of a symmetric matrix by cyclic Jacobi rotations: ascending values, and vectors[i]
// belongs to values[i]. Made for matrices of a hundred rows or fewer.
export function symmetricEigen(matrix) {
  const n = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const vectors = a.map((_, i) => Float64Array.from(a, (__, j) => (i === j ? 1 : 0)));
  const size = Math.sqrt(a.reduce((sum, row) => sum + dot(row, row), 0));
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = 0; q < p; q++) off = Math.max(off, Math.abs(a[p][q]));
    if (off <= 1e-16 * size) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotate(a, p, q, c, t * c);
        for (const row of a) rotatePair(row, p, q, c, t * c);
        rotate(vectors, p, q, c, t * c);
      }
    }
  }
  const order = a.map((_, i) => i).sort((i, j) => a[i][i] - a[j][j]);
  return { values: order.map((i) => a[i][i]), vectors: order.map((i) => vectors[i]) };
}

function rotate(rows, p, q, c, s) {
  const [rp, rq] = [rows[p], rows[q]];
  for (let k = 0; k < rp.length; k++) {
    const x = rp[k];
    rp[k] = c * x - s * rq[k];
    rq[k] = s * x + c * rq[k];
  }
}

function rotatePair(row, p, q, c, s) {
  const x = row[p];
  row[p] = c * x - s * row[q];
  row[q] = s * x + c * row[q];
}

// Eigenvalues of a symmetric tridiagonal matrix, ascending, by the implicit QL method with
// Wilkinson's shift; `weights` are the squared first components of the eigenvectors and
// `tails` the absolute last ones (times the residual: a bound on each value's error).
export function tridiagonalEigen(diagonal, offDiagonal) {
  const n = diagonal.length;
  const d = Float64Array.from(diagonal);
  const e = Float64Array.from({ length: n }, (_, i) => (i < n - 1 ? offDiagonal[i] : 0));
  const first = Float64Array.from(d, (_, i) => (i === 0 ? 1 : 0));
  const last = Float64Array.from(d, (_, i) => (i === n - 1 ? 1 : 0));
  for (let l = 0; l < n; l++) {
    for (let pass = 0; pass < 60; pass++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]) > 1e-16 * (Math.abs(d[m]) + Math.abs(d[m + 1]))) m++;
      if (m === l) break;
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      let r = Math.sqrt(g * g + 1);
      g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const [f, b] = [s * e[i], c * e[i]];
        r = Math.sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r === 0) break;
        [s, c] = [f / r, g / r];
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotatePair(first, i, i + 1, c, s);
        rotatePair(last, i, i + 1, c, s);
      }
      if (r === 0 && i >= l) {
        d[i + 1] -= p;
        e[m] = 0;
        continue;
      }
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  const order = [...d.keys()].sort((i, j) => d[i] - d[j]);
  return {
    values: order.map((i) => d[i]),
    weights: order.map((i) => first[i] * first[i]),
    tails: order.map((i) => Math.abs(last[i])),
  };
}

// max of slopes.h + (1/2) sum of values_i h_i^2 over |h| <= radius, in the eigenbasis.
// On the sphere (floor + gap - values_i) h_i = slopes_i with floor the top value, or 0 if that is
// negative; in the hard case the slope has no part along the top vector, which then fills the
// missing length. The unknown is the gap, so that a slope that is all but missing keeps its digits.
export function trustRegion(values, slopes, radius) {
  const top = Math.max(...values);
  const floor = Math.max(top, 0);
  const step = (gap) =>
    values.map((v, i) => (slopes[i] === 0 ? 0 : slopes[i] / (gap + (floor - v))));
  const answer = (h) => ({ step: h,
    gain: h.reduce((sum, hi, i) => sum + slopes[i] * hi + (values[i] * hi * hi) / 2, 0) });
  const atFloor = step(0);
  const missing = radius * radius - dot(atFloor, atFloor);
  if (missing >= 0) {
    if (top >= 0) atFloor[values.indexOf(top)] += Math.sqrt(missing);
    return answer(atFloor);
  }
  let [low, high] = [0, norm(slopes) / radius];
  for (let k = 0; k < 1100; k++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (norm(step(middle)) > radius) low = middle;
    else high = middle;
  }
  const h = step(high);
  return answer(scale(h, radius / norm(h)));
}

// The maximizer of g.d + (1/2) d.Hd over the square |d_i| <= r: a vertex, a stationary point of an
// edge, or the one inside.
export function squareMaximum(g, [[a, b], [, c]], r) {
  const gain = ([x, y]) => g[0] * x + g[1] * y + (a * x * x) / 2 + b * x * y + (c * y * y) / 2;
  const det = a * c - b * b;
  const tries = [[-(c * g[0] - b * g[1]) / det, -(a * g[1] - b * g[0]) / det]];
  for (const s of [-r, r]) {
    tries.push([s, r], [s, -r], [s, -(g[1] + b * s) / c], [-(g[0] + b * s) / a, s]);
  }
  return tries.filter(([x, y]) => Math.abs(x) <= r && Math.abs(y) <= r)
    .reduce((best, next) => (gain(next) > gain(best) ? next : best));
}

// Uniform numbers in [0, 1) from a seed (mulberry32), the same in Python and here.
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Standard normal numbers by the Box-Muller transform.
export function normals(seed) {
  const uniform = uniforms(seed);
  return () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return radius * Math.cos(2 * Math.PI * uniform());
  };
}
