"""Figure: what CURE, LLR, ELLE, GradAlign and the Hessian norm see of one Hessian on a segment.

The loss, its slope, its curvature and the turn of its gradient are measured along three lines from
an example and travel as lists; the page reads between their points.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from torch import Tensor, nn

from curvlab.calculus import hessian_operator
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, show
from curvlab.interactive.krylov_stepper import exact_hessian
from curvlab.losses import margin_cross_entropy

Vector = np.ndarray[Any, np.dtype[np.float64]]

VALUES: Mapping[str, Any] = {"measure": "elle", "direction": "0", "length": 1.5, "alpha": 0.5}
POINTS = 151
PANELS = 240


def state(model: nn.Module, x: Tensor, y: Tensor, *, reach: float = 3.0, seed: int = 0) -> State:
    """Three lines from one example: along the gradient, the top eigenvector, and at random."""
    if x.shape[0] != 1 or y.shape != (1,):
        raise ValueError(
            f"requires one example. Found shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    if not reach > 0:
        raise ValueError(f"requires a positive reach. Found {reach}.")
    hessian, gradient = exact_hessian(model, x, y)
    values, vectors = np.linalg.eigh(hessian)
    top = vectors[:, -1] * (-1 if vectors[:, -1] @ gradient < 0 else 1)
    random = np.random.default_rng(seed).standard_normal(x.numel())
    directions = {"the gradient": gradient, "the top eigenvector": top, "random": random}
    lines = [
        {"label": label} | measured(model, x, y, v / np.linalg.norm(v), reach)
        for label, v in directions.items()
    ]
    return {
        "lines": lines,
        "reach": reach,
        "top": float(f"{values[-1]:.6g}"),
        "start": float(f"{np.linalg.norm(gradient):.6g}"),
    }


def measured(model: nn.Module, x: Tensor, y: Tensor, v: Vector, reach: float) -> dict[str, Any]:
    """The loss along a line with its slope and curvature, and what its gradient does."""
    double = {k: w.detach().double() for k, w in model.state_dict().items()}
    direction = torch.from_numpy(v).view_as(x).double()
    steps = torch.linspace(0, reach, POINTS, dtype=torch.float64)
    points = x.double() + steps.view(-1, *[1] * (x.dim() - 1)) * direction

    def loss(batch: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(model, double, batch)
        return margin_cross_entropy(logits, y.expand(len(batch)))

    operator = hessian_operator(loss, points)
    gradients = operator.gradient.detach().flatten(1)
    bends = operator(direction.expand_as(points)).detach().flatten(1)
    start = gradients[0] / gradients[0].norm()
    along = direction.flatten()
    found = {
        "loss": loss(points).detach(),
        "slope": gradients @ along,
        "bend": bends @ along,
        "across": (bends - (bends @ start)[:, None] * start).norm(dim=1),
        "turn": 1 - gradients @ start / gradients.norm(dim=1),
        "change": (gradients - gradients[0]).norm(dim=1),
    }
    # Differences of the loss are small beside the loss itself, so it keeps nine digits.
    largest = {name: float(values.abs().max()) for name, values in found.items()}
    return {
        name: [float(f"{v:.9g}") if abs(v) > 1e-9 * largest[name] else 0.0 for v in values.tolist()]
        for name, values in found.items()
    }


KERNELS: Mapping[str, tuple[str, Callable[[Vector, float], Vector]]] = {
    "elle": ("ELLE", lambda t, a: np.where(t <= a, t * (1 - a), a * (1 - t))),
    "llr": ("LLR", lambda t, a: 1 - t),
    "cure": ("CURE", lambda t, a: np.ones_like(t)),
    "gradalign": ("GradAlign", lambda t, a: np.ones_like(t)),
    "hessian": ("Hessian norm", lambda t, a: np.zeros_like(t)),
}


class Line(NamedTuple):
    """One line of a state, readable anywhere on it."""

    held: Mapping[str, Any]
    reach: float

    def at(self, name: str, steps: Vector | float) -> Vector:
        grid = np.linspace(0, self.reach, POINTS)
        return np.asarray(np.interp(steps, grid, self.held[name]))


def direct(line: Line, values: Mapping[str, Any]) -> float:
    """The regularizer from losses and gradients, without any Hessian."""
    s, a = values["length"], values["alpha"]
    start, middle, end = line.at("loss", np.array([0.0, a * s, s])).tolist()
    first, last = line.at("slope", np.array([0.0, s])).tolist()
    found: dict[str, float] = {
        "elle": (1 - a) * start + a * end - middle,
        "llr": end - start - s * first,
        "cure": s * (last - first),
    }
    return found[values["measure"]]


def weighted(line: Line, values: Mapping[str, Any]) -> float:
    """The same from the curvature along the segment and the regularizer's kernel."""
    t, s = np.linspace(0, 1, PANELS + 1), values["length"]
    kernel = KERNELS[values["measure"]][1](t, values["alpha"])
    return float(np.trapezoid(kernel * s**2 * line.at("bend", t * s), t))


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    line = Line(state["lines"][int(values["direction"])], state["reach"])
    s, measure = values["length"], values["measure"]
    if measure == "hessian":
        return (
            "The Hessian norm looks at the start alone: along the segment δ'Hδ = "
            f"{digits(s**2 * float(line.at('bend', 0.0)))} there, in the worst direction "
            f"{digits(s**2 * state['top'])}."
        )
    if measure == "gradalign":
        model = (s * float(line.at("across", 0.0))) ** 2 / (2 * state["start"] ** 2)
        return (
            f"GradAlign is 1 − cos = {digits(float(line.at('turn', s)))}; the part of Hδ across "
            f"the gradient at the start says {digits(model)}."
        )
    alpha = f"ELLE with α = {digits(values['alpha'])}"
    name = alpha if measure == "elle" else KERNELS[measure][0]
    change = f" The whole change of the gradient is {digits(float(line.at('change', s)))}."
    return (
        f"{name}: the weighted curvature adds up to {digits(weighted(line, values))}; from "
        f"{'gradients' if measure == 'cure' else 'losses'} directly, "
        f"{digits(direct(line, values))}.{change if measure == 'cure' else ''}"
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    line = Line(state["lines"][int(values["direction"])], state["reach"])
    t, s = np.linspace(0, 1, PANELS + 1), values["length"]
    with style.context():
        drawn, (top, below) = plt.subplots(2, 1, sharex=True, figsize=(style.WIDTH, 4.4))
        curve = s**2 * line.at("bend", t * s)
        kernel = KERNELS[values["measure"]][1](t, values["alpha"])
        top.plot(t, curve, color=style.BLUE, label="curvature along the segment")
        top.fill_between(t, kernel * curve, color=style.GREEN, alpha=0.3, label="what is seen")
        top.legend()
        for linestyle, (label, f) in zip(
            style.LINE_STYLES, list(KERNELS.values())[:3], strict=False
        ):
            below.plot(t, f(t, values["alpha"]), linestyle=linestyle, label=label)
        below.set(xlabel="position on the segment", ylabel="weight")
        below.legend()
    plt.close(drawn)
    return drawn


def figure(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    reach: float = 3.0,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The kernels on three lines from one example, on a network of any size."""
    held = state(model, x, y, reach=reach)
    setting = {**VALUES, **(values or {})}
    alt = (
        "Above: the curvature of a real loss along a segment, and the part of it that a "
        "regularizer sees. Below: the weight the regularizer gives each position. "
        f"{readout(held, setting)}"
    )
    return show(
        "kernels",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
