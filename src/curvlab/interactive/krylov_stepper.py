"""Figure: Ritz values converge to a network's input spectrum, power iteration behind them.

In the eigenbasis a symmetric matrix is a diagonal, and the Krylov methods see nothing of it but
the eigenvalues and the coordinates of the start. So these travel in the page, and the browser
runs the same iterations on them. All directions of the null space count as one coordinate: no
product can tell them apart.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from scipy.linalg import eigvalsh_tridiagonal
from torch import Tensor, nn

from curvlab.calculus import hessian_operator
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, show
from curvlab.losses import margin_cross_entropy

Vector = np.ndarray[Any, np.dtype[np.float64]]

VALUES: Mapping[str, Any] = {
    "steps": 8,
    "spectrum": "trained",
    "start": "random",
    "reorthogonalize": True,
}


def state(model: nn.Module, x: Tensor, y: Tensor, *, most: int = 48, seed: int = 0) -> State:
    """The input spectrum of the loss at one example, and two starts in its eigenbasis.

    Beside the trained spectrum there are two made from it: a tie, whose second value becomes the
    negative of the first, and a cluster, whose next three values move close to the first.
    """
    if x.shape[0] != 1 or y.shape != (1,):
        raise ValueError(
            f"requires one example. Found shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    hessian, gradient = exact_hessian(model, x, y)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    if eigenvalues[-1] <= -eigenvalues[0]:
        raise ValueError(
            "requires an example whose largest eigenvalue leads in magnitude. "
            f"Found {eigenvalues[-1]:g} and {eigenvalues[0]:g}."
        )
    random = np.random.default_rng(seed).standard_normal(len(eigenvalues))
    starts = {"gradient": vectors.T @ gradient, "random": random}
    null = np.abs(eigenvalues) <= 1e-7 * eigenvalues[-1]
    trained = _merged(eigenvalues, null)
    tie, cluster = trained.copy(), trained.copy()
    order = np.argsort(-np.abs(trained))
    tie[order[1]] = -trained[order[0]]
    cluster[order[1:4]] = trained[order[0]] * (1 - 0.004 * np.arange(1, 1 + len(order[1:4])))
    merged = {name: _rounded(_merged(start, null)) for name, start in starts.items()}
    labels = {
        "trained": (trained, "the trained network"),
        "tie": (tie, "a tie: λ and −λ"),
        "cluster": (cluster, "a cluster at the top"),
    }
    spectra = [
        {"name": name, "label": label, "eigenvalues": _rounded(values), "starts": merged}
        for name, (values, label) in labels.items()
    ]
    return {"spectra": spectra, "most": most}


def exact_hessian(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Vector, Vector]:
    """The matrix of second derivatives of the loss at one example, in float64, and the gradient."""
    double = {k: v.detach().double() for k, v in model.state_dict().items()}
    count = x.numel()
    many = x.detach().double().expand(count, *x.shape[1:])

    def loss(batch: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(model, double, batch)
        return margin_cross_entropy(logits, y.expand(len(batch)))

    operator = hessian_operator(loss, many)
    basis = torch.eye(count, dtype=torch.float64, device=x.device).view_as(many)
    rows = operator(basis).reshape(count, count)
    matrix = (rows + rows.T) / 2
    return matrix.detach().cpu().numpy(), operator.gradient[0].detach().flatten().cpu().numpy()


def _merged(values: Vector, null: np.ndarray[Any, np.dtype[np.bool_]]) -> Vector:
    """All null coordinates as one of the same length; eigenvalues there are all but zero."""
    if not null.any():
        return values.copy()
    return np.append(values[~null], np.linalg.norm(values[null]))


def _rounded(values: Vector) -> list[float]:
    largest = np.abs(values).max()
    return [float(f"{v:.6g}") if abs(v) > 1e-7 * largest else 0.0 for v in values]


class Run(NamedTuple):
    """Ritz values after each product, and power iteration's Rayleigh quotients."""

    ritz: list[Vector]
    power: list[float]
    top: float


def run(state: State, values: Mapping[str, Any]) -> Run:
    """What the page computes, in the page's order of operations, so that ghosts agree too."""
    spectrum = next(s for s in state["spectra"] if s["name"] == values["spectrum"])
    eigenvalues = np.array(spectrum["eigenvalues"])
    start = np.array(spectrum["starts"][values["start"]])
    diagonal, off_diagonal = _lanczos(eigenvalues, start, state["most"], values["reorthogonalize"])
    ritz = [
        eigvalsh_tridiagonal(np.array(diagonal[: k + 1]), np.array(off_diagonal[:k]))
        for k in range(len(diagonal))
    ]
    power = []
    v = _unit(start)
    for _ in range(state["most"]):
        product = v * eigenvalues
        power.append(_dot(v, product))
        v = _unit(product)
    return Run(ritz, power, float(eigenvalues.max()))


def _dot(a: Vector, b: Vector) -> float:
    """A running sum from left to right, as the page adds; NumPy's own sum adds in pairs."""
    return float(np.cumsum(a * b)[-1])


def _unit(v: Vector) -> Vector:
    scaled: Vector = v * (1 / np.sqrt(_dot(v, v)))
    return scaled


def _lanczos(
    eigenvalues: Vector, start: Vector, steps: int, reorthogonalize: bool
) -> tuple[list[float], list[float]]:
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    basis = [_unit(start)]
    beta = 0.0
    while True:
        r = basis[-1] * eigenvalues
        if diagonal:
            r = r + -beta * basis[-2]
        diagonal.append(_dot(basis[-1], r))
        r = r + -diagonal[-1] * basis[-1]
        for q in basis * 2 if reorthogonalize else []:
            r = r + -_dot(q, r) * q
        beta = float(np.sqrt(_dot(r, r)))
        size = max(*map(abs, diagonal), *off_diagonal, 0.0)
        if beta <= 1e-13 * size or len(diagonal) == steps:
            return diagonal, off_diagonal
        off_diagonal.append(beta)
        basis.append(r * (1 / beta))


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    steps = values["steps"]
    ritz, power, top = run(state, values)
    live = min(steps, len(ritz))
    now, last = ritz[live - 1], power[steps - 1]

    def close(value: float) -> str:
        miss = abs(value - top)
        return "equal to ten digits" if miss <= 1e-10 * top else f"{digits(miss, 2)} away"

    ghosts = int((np.abs(now - top) <= 1e-6 * top).sum()) - 1
    done = f" Lanczos ended after {live}: its space is exhausted." if live < steps else ""
    name = "ghost copy" if ghosts == 1 else "ghost copies"
    copies = f" {ghosts} {name} of it appeared." if ghosts > 0 else ""
    return (
        f"{steps} Hessian-vector product{'' if steps == 1 else 's'}. "
        f"Largest eigenvalue {digits(top)}. Lanczos has {digits(now[-1])}, {close(now[-1])}; "
        f"power iteration has {digits(last)}, {close(last)}.{done}{copies}"
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    ritz, power, top = run(state, values)
    spectrum = next(s for s in state["spectra"] if s["name"] == values["spectrum"])
    products = np.arange(1, len(power) + 1)
    with style.context():
        drawn, (left, right) = plt.subplots(1, 2)
        for value in spectrum["eigenvalues"]:
            left.plot([len(power) + 1, len(power) + 3], [value] * 2, "-", color=style.INK, lw=0.8)
        for k, column in enumerate(ritz, start=1):
            left.plot([k] * len(column), column, "o", color=style.BLUE, ms=2)
        left.plot(products, power, "--", color=style.ORANGE)
        left.set(xlabel="Hessian-vector products", title="Ritz values; true spectrum at the edge")
        floor = 1e-15
        errors = [abs(column[-1] - top) / top for column in ritz]
        right.semilogy(
            products[: len(ritz)], np.maximum(errors, floor), "-", color=style.BLUE, label="Lanczos"
        )
        behind = np.maximum(np.abs(np.array(power) - top) / top, floor)
        right.semilogy(products, behind, "--", color=style.ORANGE, label="power iteration")
        right.set(xlabel="Hessian-vector products", title="relative error of the largest")
        right.legend()
    plt.close(drawn)
    return drawn


def figure(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    most: int = 48,
    seed: int = 0,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The Krylov stepper at one example `x` of shape `(1, *shape)` with label `y` of shape `(1,)`.

    The network may have any size: only its spectrum travels.
    """
    held = state(model, x, y, most=most, seed=seed)
    setting = {**VALUES, **(values or {})}
    alt = (
        "Left: Ritz values of the input Hessian spread with each product until the outer ones sit "
        "on the true spectrum. Right: the error of the largest eigenvalue falls to rounding level "
        f"for Lanczos while power iteration lags. {readout(held, setting)}"
    )
    return show(
        "krylov-stepper",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
