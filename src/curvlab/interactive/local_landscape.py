"""Figure: a point in the plane, the loss around it, and four guesses of the worst point nearby."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from matplotlib.patches import Circle, Rectangle
from torch import Tensor, nn

from curvlab.attacks import steepest
from curvlab.data import Examples
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, pack, show, source, unpack
from curvlab.interactive.krylov_stepper import exact_hessian
from curvlab.interactive.networks import arrive, travel
from curvlab.losses import margin_cross_entropy
from curvlab.trust_region import trust_region

Norm = Literal["l2", "linf"]

VALUES: Mapping[str, Any] = {
    "regularizer": "",
    "strength": 2,
    "label": "0",
    "ball": "l2",
    "radius": 0.12,
    "x": 0.35,
    "y": 0.6,
}
DOMAIN = (0.0, 1.0, 0.2, 0.8)
RINGS, TURNS, STEPS = 16, 96, 20


class Trained(NamedTuple):
    """A network of the plane and what trained it; strength 0 is the plain one."""

    regularizer: str
    strength: float
    model: nn.Sequential


def state(networks: Sequence[Trained], data: Examples) -> State:
    """Networks by regularizer and strength, and the points that trained them.

    Every regularizer needs the same number of strengths, so that one slider serves all.
    """
    names = list(dict.fromkeys(trained.regularizer for trained in networks))
    plain = [t for t in networks if t.strength == 0]
    if len(plain) != 1:
        raise ValueError(f"requires one network of strength 0. Found {len(plain)}.")
    regularizers = []
    for name in names:
        held = [i for i, t in enumerate(networks) if t.regularizer == name and t.strength > 0]
        if not held:
            continue
        strengths = [{"index": networks.index(plain[0]), "shown": "0"}] + [
            {"index": i, "shown": f"{networks[i].strength:g}"}
            for i in sorted(held, key=lambda i: networks[i].strength)
        ]
        regularizers.append({"name": name, "label": name, "strengths": strengths})
    lengths = {len(r["strengths"]) for r in regularizers}
    if len(lengths) != 1:
        raise ValueError(f"requires equally many strengths of each. Found {sorted(lengths)}.")
    return {
        "regularizers": regularizers,
        "networks": [travel(t.model) for t in networks],
        "points": pack(data.x),
        "labels": data.y.tolist(),
        "domain": list(DOMAIN),
    }


class Guess(NamedTuple):
    """Where a method says the worst point is, and the true loss there."""

    name: str
    step: Tensor
    loss: float


class Found(NamedTuple):
    """The loss at a point with its derivatives, and the four guesses."""

    loss: float
    gradient: Tensor
    hessian: Tensor
    guesses: list[Guess]


def attack(state: State, values: Mapping[str, Any]) -> Found:
    """What the page computes at one setting."""
    regularizer = next(r for r in state["regularizers"] if r["name"] == values["regularizer"])
    model = arrive(state["networks"][regularizer["strengths"][values["strength"]]["index"]])
    x = torch.tensor([[values["x"], values["y"]]], dtype=torch.float64)
    y = torch.tensor([int(values["label"])])
    ball, radius = values["ball"], values["radius"]

    def loss(steps: Tensor) -> Tensor:
        return margin_cross_entropy(model(x + steps), y.expand(len(steps)))

    matrix, slope = exact_hessian(model, x, y)
    hessian, gradient = torch.from_numpy(matrix), torch.from_numpy(slope)
    steps = {
        "linear model": radius * steepest(gradient[None], ball)[0],
        "quadratic model": quadratic_step(gradient, hessian, radius, ball),
        "PGD": ascend(loss, radius, ball),
        "exhaustive search": search(loss, radius, ball),
    }
    guesses = [Guess(name, step, loss(step[None]).item()) for name, step in steps.items()]
    return Found(loss(torch.zeros_like(x)).item(), gradient, hessian, guesses)


def quadratic_step(gradient: Tensor, hessian: Tensor, radius: float, ball: Norm) -> Tensor:
    """The maximizer of `g'd + d'Hd/2` over the disc or the square, exactly."""
    if ball == "l2":
        values, vectors = torch.linalg.eigh(hessian)
        step = trust_region(values[None], (vectors.T @ gradient)[None], radius).step[0]
        turned: Tensor = vectors @ step
        return turned
    # A quadratic is largest at a vertex, at a stationary point of an edge or at the one inside.
    tries = [torch.linalg.lstsq(hessian, -gradient).solution]
    for fixed in (0, 1):
        free = 1 - fixed
        for side in (-radius, radius):
            stationary = -(gradient[free] + hessian[free, fixed] * side) / hessian[free, free]
            for other in (-radius, radius, float(stationary)):
                step = torch.empty(2, dtype=torch.float64)
                step[fixed], step[free] = side, other
                tries.append(step)
    inside = torch.stack([step for step in tries if step.abs().max() <= radius * (1 + 1e-12)])
    gains = inside @ gradient + ((inside @ hessian) * inside).sum(1) / 2
    return inside[gains.argmax()]


def ascend(loss: Any, radius: float, ball: Norm) -> Tensor:
    """Projected gradient ascent from the center: 20 steps of an eighth of the radius."""
    step = torch.zeros(1, 2, dtype=torch.float64)
    for _ in range(STEPS):
        here = step.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(here).sum(), here)
        step = step + radius / 8 * steepest(gradient, ball)
        if ball == "linf":
            step = step.clamp(-radius, radius)
        elif (length := step.norm()) > radius:
            step = step * (radius / length)
    return step[0]


def search(loss: Any, radius: float, ball: Norm) -> Tensor:
    """Exhaustive search: 16 rings of 96 points, then the best of them refined by halving steps."""
    turns = 2 * math.pi / TURNS * torch.arange(TURNS, dtype=torch.float64)
    rings = radius / RINGS * torch.arange(1, RINGS + 1, dtype=torch.float64)
    grid = torch.cartesian_prod(rings, turns)
    losses = loss(polar(grid, ball))
    best, most = grid[losses.argmax()], losses.max()
    if most <= loss(torch.zeros(1, 2, dtype=torch.float64)):
        best = torch.zeros(2, dtype=torch.float64)
    step = 0.5
    while step > 1e-4:
        dr, dt = step * radius / RINGS, step * 2 * math.pi / TURNS
        moves = torch.tensor([[-dr, 0], [0, -dt], [dr, 0], [0, dt]], dtype=torch.float64)
        tries = best + moves
        tries[:, 0].clamp_(max=radius)
        found = loss(polar(tries, ball))
        if found.max() > most:
            best, most = tries[found.argmax()], found.max()
        step /= 2
    return polar(best[None], ball)[0]


def polar(radius_and_turn: Tensor, ball: Norm) -> Tensor:
    """The points of the ball's shape at a radius and an angle."""
    radius, turn = radius_and_turn.unbind(1)
    ring = torch.stack([turn.cos(), turn.sin()], dim=1)
    if ball == "linf":
        ring = ring / ring.abs().amax(dim=1, keepdim=True)
    return radius[:, None] * ring


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    loss, gradient, hessian, guesses = attack(state, values)
    low, high = torch.linalg.eigvalsh(hessian).tolist()
    found = ", ".join(f"{guess.name} {digits(guess.loss)}" for guess in guesses)
    return (
        f"Loss here {digits(loss)}; slope {digits(gradient.norm().item())}, curvatures "
        f"{digits(high)} and {digits(low)}. Loss at the worst point named by each: {found}."
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    regularizer = next(r for r in state["regularizers"] if r["name"] == values["regularizer"])
    model = arrive(state["networks"][regularizer["strengths"][values["strength"]]["index"]])
    found = attack(state, values)
    left, right, low, high = state["domain"]
    across, up = np.linspace(left, right, 121), np.linspace(low, high, 81)
    grid = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    logits = model(torch.from_numpy(grid))
    label = torch.full((len(grid),), int(values["label"]))
    losses = margin_cross_entropy(logits, label).view(81, 121).numpy()
    margin = (logits[:, 0] - logits[:, 1]).view(81, 121).numpy()
    points, labels = unpack(state["points"]), np.array(state["labels"])
    x, y, r = values["x"], values["y"], values["radius"]
    with style.context():
        drawn, axes = plt.subplots(figsize=(style.WIDTH, 4.4))
        axes.contourf(across, up, 1 - np.exp(-losses), 12, cmap="Oranges", alpha=0.6)
        axes.contour(across, up, margin, [0], colors=style.INK)
        for kind, marker, color in ((0, "o", style.BLUE), (1, "s", style.PURPLE)):
            axes.plot(*points[labels == kind].T, marker, color=color, ms=3)
        shape = (
            Circle((x, y), r) if values["ball"] == "l2" else Rectangle((x - r, y - r), 2 * r, 2 * r)
        )
        shape.set(fill=False, edgecolor=style.INK, linewidth=1.5)
        axes.add_patch(shape)
        marks = zip(
            found.guesses,
            "^DsO",
            (style.ORANGE, style.PURPLE, style.BLUE, style.GREEN),
            strict=True,
        )
        for guess, marker, color in marks:
            dx, dy = guess.step.tolist()
            axes.plot(
                x + dx,
                y + dy,
                marker.lower(),
                color=color,
                ms=8,
                mec=style.PAPER,
                label=f"{guess.name}: {digits(guess.loss)}",
            )
        axes.set(aspect="equal", title="loss of the true class, and the worst points named")
        axes.legend(loc="upper right", frameon=True, facecolor=style.PAPER)
    plt.close(drawn)
    return drawn


def figure(
    held: State | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The local landscape of the shipped networks (`two_moons.py`), or of others by `state`."""
    held = stored() if held is None else held
    first = held["regularizers"][0]["name"]
    setting = {**VALUES, "regularizer": first, **(values or {})}
    alt = (
        "The plane of two moons with the loss shaded, the decision boundary, and a point with a "
        "ball around it; marks show where the linear model, the quadratic model, projected "
        f"gradient ascent and exhaustive search put the worst point. {readout(held, setting)}"
    )
    return show(
        "local-landscape",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )


def stored() -> State:
    """The state shipped beside this file: two moons, each regularizer at four strengths.

    >>> [regularizer["name"] for regularizer in stored()["regularizers"]]
    ['input gradient', 'Hessian norm', 'CURE']
    """
    held: State = json.loads(source("two_moons.json"))
    return held
