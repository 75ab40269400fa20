"""Figure: a quadratic in the plane, its exact maximum on a ball, Frank-Wolfe, the CURE interval."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, show
from curvlab.interactive.local_landscape import Norm, quadratic_step

VALUES: Mapping[str, Any] = {
    "ball": "l2",
    "radius": 1.0,
    "along": 1.5,
    "across": -0.5,
    "angle": 60,
    "needed": 1.0,
    "steps": 3,
}
TILT = math.pi / 6


class Quadratic(NamedTuple):
    """`g'd + d'Hd/2` with a unit gradient."""

    gradient: Tensor
    hessian: Tensor

    def gain(self, step: Tensor) -> float:
        return float(self.gradient @ step + step @ self.hessian @ step / 2)

    def best(self, ball: Norm, radius: float) -> Tensor:
        """The exact maximizer on the ball."""
        return quadratic_step(self.gradient, self.hessian, radius, ball)


def quadratic(values: Mapping[str, Any]) -> Quadratic:
    """The quadratic of a setting: u at 30 degrees, the gradient at an angle from it."""

    def turned(angle: float) -> Tensor:
        return torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)

    u, w = turned(TILT), turned(TILT + math.pi / 2)
    hessian = values["along"] * torch.outer(u, u) + values["across"] * torch.outer(w, w)
    return Quadratic(turned(TILT + math.radians(values["angle"])), hessian)


def frank_wolfe(q: Quadratic, ball: Norm, radius: float, steps: int) -> list[Tensor]:
    """Full steps from the center, each to the maximizer of the linearization."""
    walk = [torch.zeros(2, dtype=torch.float64)]
    for _ in range(steps):
        pull = q.gradient + q.hessian @ walk[-1]
        walk.append(vertex(pull, ball, radius))
    return walk


def vertex(pull: Tensor, ball: Norm, radius: float) -> Tensor:
    """The point of the ball that goes furthest along a vector."""
    signs: Tensor = torch.where(pull < 0, -1.0, 1.0).to(pull)
    unit: Tensor = pull / pull.norm() if ball == "l2" else signs
    return unit * radius


def interval(q: Quadratic, needed: float) -> tuple[float, float, float]:
    """The CURE interval's ends around the exact length of step that gains `needed`: the lower
    end, the exact length, the upper end (Moosavi-Dezfooli et al., 2019)."""
    values, vectors = torch.linalg.eigh(q.hessian)
    top, side = float(values[-1]), float((q.gradient @ vectors[:, -1]).abs())

    def root(slope: float) -> float:
        return 2 * needed / (slope + math.sqrt(slope**2 + 2 * top * needed))

    low, high = lower, upper = root(1.0), root(side)
    for _ in range(60):
        middle = (low + high) / 2
        if q.gain(q.best("l2", middle)) < needed:
            low = middle
        else:
            high = middle
    return lower, high, upper


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    q = quadratic(values)
    ball, radius, steps = values["ball"], values["radius"], values["steps"]
    walk = frank_wolfe(q, ball, radius, steps)
    linear = vertex(q.gradient, ball, radius)
    low, exact, high = interval(q, values["needed"])
    return (
        f"Largest gain in the {'disc' if ball == 'l2' else 'square'} "
        f"{digits(q.gain(q.best(ball, radius)))}; the linear model's step gains "
        f"{digits(q.gain(linear))}, Frank-Wolfe after {steps} "
        f"step{'' if steps == 1 else 's'} {digits(q.gain(walk[steps]))}. "
        f"A gain of {digits(values['needed'])} takes a step of length {digits(exact)}; "
        f"the CURE interval is {digits(low)} to {digits(high)}."
    )


def still(values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    q = quadratic(values)
    ball, radius, needed = values["ball"], values["radius"], values["needed"]
    reach = np.linspace(-1.45, 1.45, 81) * radius
    grid = torch.from_numpy(np.stack(np.meshgrid(reach, reach), -1).reshape(-1, 2))
    gains = (grid @ q.gradient + ((grid @ q.hessian) * grid).sum(1) / 2).view(81, 81).numpy()
    walk = torch.stack(frank_wolfe(q, ball, radius, values["steps"]))
    best = q.best(ball, radius)
    radii = np.linspace(0.02, 3, 60)
    with style.context():
        drawn, (left, right) = plt.subplots(1, 2)
        levels = sorted(t * q.gain(best) for t in (-0.5, 0, 0.25, 0.5, 0.75, 1))
        left.contour(reach, reach, gains, levels, colors=style.GRAY, linewidths=0.8)
        left.contour(reach, reach, gains, [needed], colors=style.PURPLE, linestyles="dashed")
        ring: Any = Circle((0, 0), radius)
        square: Any = Rectangle((-radius, -radius), 2 * radius, 2 * radius)
        shape = ring if ball == "l2" else square
        shape.set(fill=False, edgecolor=style.INK, linewidth=1.5)
        left.add_patch(shape)
        left.plot(*walk.T, "s-", color=style.BLUE, label="Frank-Wolfe")
        left.plot(*best, "D", color=style.GREEN, label="exact maximum")
        left.plot(
            *zip((0, 0), (0.6 * radius * q.gradient).tolist(), strict=True),
            color=style.ORANGE,
            label="gradient",
        )
        left.set(aspect="equal", title="step in the plane")
        left.legend(fontsize=8, loc="lower right", frameon=True, facecolor=style.PAPER)
        right.plot(
            radii,
            [q.gain(q.best(ball, r)) for r in radii],
            color=style.GREEN,
            label="exact maximum",
        )
        slope = 1.0 if ball == "l2" else float(q.gradient.abs().sum())
        right.plot(radii, slope * radii, "--", color=style.ORANGE, label="linear model")
        right.axhline(needed, color=style.PURPLE, linestyle="--", lw=1)
        if ball == "l2":
            low, exact, high = interval(q, needed)
            right.plot([low, high], [needed] * 2, "s-", color=style.PURPLE, label="CURE interval")
            right.plot(exact, needed, "o", color=style.PURPLE, label="exact length")
        right.set(xlabel="radius", title="largest gain")
        right.legend(fontsize=8)
    plt.close(drawn)
    return drawn


def figure(*, values: Mapping[str, Any] | None = None, caption: str | None = None) -> Figure:
    """The trust region; it needs no network."""
    setting = {**VALUES, **(values or {})}
    alt = (
        "Left: level sets of a quadratic in the plane, a ball, the exact maximum on it and the "
        "path of Frank-Wolfe. Right: the largest gain against the radius, between the linear model "
        f"and an upper bound, with the CURE interval of the needed gain. {readout({}, setting)}"
    )
    return show(
        "trust-region", {}, fallback=still(setting), alt=alt, caption=caption, values=setting
    )
