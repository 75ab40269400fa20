"""Figure: a digit walks along its gradient or a top Hessian eigenvector, on two networks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from torch import Tensor, nn

from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, pack_bytes, show, unpack
from curvlab.interactive.krylov_stepper import exact_hessian
from curvlab.interactive.networks import arrive, travel
from curvlab.losses import margin_cross_entropy

VALUES: Mapping[str, Any] = {"digit": "0", "direction": "gradient", "distance": 1.0}


def state(networks: Mapping[str, nn.Sequential], x: Tensor, y: Tensor) -> State:
    """Two networks by label, and digits `(n, 1, 28, 28)` in [0, 1] with their classes."""
    if len(networks) != 2:
        raise ValueError(f"requires two networks. Found {len(networks)}.")
    if x.shape[1:] != (1, 28, 28) or y.shape != x.shape[:1]:
        raise ValueError(
            "requires digits (n, 1, 28, 28) and n labels. "
            f"Found {tuple(x.shape)} and {tuple(y.shape)}."
        )
    return {
        "networks": [{"label": k, "net": travel(net)} for k, net in networks.items()],
        "images": pack_bytes(x),
        "labels": y.tolist(),
    }


class Walk(NamedTuple):
    """One network along one unit direction from one digit."""

    model: nn.Sequential
    x: Tensor
    y: Tensor
    direction: Tensor
    loss: float
    slope: float
    bend: float
    top: float

    def at(self, distance: float) -> tuple[float, Tensor]:
        """Loss and probabilities after walking so far."""
        logits = self.model(self.x + distance * self.direction)
        return margin_cross_entropy(logits, self.y).item(), logits.softmax(1)[0]

    def quadratic(self, distance: float) -> float:
        """What the model of second order says."""
        return self.loss + distance * self.slope + distance**2 * self.bend / 2


def walk(state: State, index: int, values: Mapping[str, Any]) -> Walk:
    """The walk of network `index` at a setting, from the exact Hessian."""
    if not str(values["digit"]).isdecimal():
        raise ValueError(f"requires the number of a digit that travels. Found {values['digit']!r}.")
    digit = int(values["digit"])
    model = arrive(state["networks"][index]["net"])
    x = torch.from_numpy(unpack(state["images"])[digit : digit + 1])
    y = torch.tensor([state["labels"][digit]])
    hessian, gradient = exact_hessian(model, x, y)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    v = {"gradient": gradient, "first": vectors[:, -1], "second": vectors[:, -2]}[
        values["direction"]
    ]
    v = v / np.linalg.norm(v) * (-1 if v @ gradient < 0 else 1)
    loss = margin_cross_entropy(model(x), y).item()
    direction = torch.from_numpy(v).view_as(x)
    return Walk(model, x, y, direction, loss, v @ gradient, v @ hessian @ v, eigenvalues[-1])


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    distance = values["distance"]
    parts = [f"{digits(distance)} along the direction."]
    for index, network in enumerate(state["networks"]):
        walked = walk(state, index, values)
        loss, probabilities = walked.at(distance)
        share, winner = probabilities.max(0)
        parts.append(
            f"{network['label']}: loss {digits(walked.loss)} becomes {digits(loss)} "
            f"(quadratic model {digits(walked.quadratic(distance))}), "
            f"answer {int(winner)} with {100 * share:.1f}%."
        )
    return " ".join(parts)


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    walks = [walk(state, index, values) for index in range(2)]
    distances = np.linspace(-3, 3, 61)
    curves = [[walked.at(t)[0] for t in distances] for walked in walks]
    ceiling = max(0.5, *map(max, curves))
    with style.context():
        drawn, axes = plt.subplots(2, 3, figsize=(style.WIDTH, 4.4), width_ratios=(1, 1, 3))
        for row, network, walked, curve in zip(axes, state["networks"], walks, curves, strict=True):
            style.show_image(row[0], walked.direction.view(28, 28), signed=True)
            now = (walked.x + values["distance"] * walked.direction).view(28, 28)
            style.show_image(row[1], now)
            row[0].set_title("direction")
            row[1].set_title("digit now")
            row[2].plot(distances, curve, "-", color=style.BLUE, label="true loss")
            model = [walked.quadratic(t) for t in distances]
            row[2].plot(distances, model, "--", color=style.ORANGE, label="quadratic model")
            row[2].plot(values["distance"], walked.at(values["distance"])[0], "o", color=style.BLUE)
            row[2].set_ylim(0, ceiling)
            row[2].set_title(f"{network['label']}: top curvature {digits(walked.top)}")
        axes[1][2].set_xlabel("distance walked")
        axes[0][2].legend()
    plt.close(drawn)
    return drawn


def figure(
    networks: Mapping[str, nn.Sequential],
    x: Tensor,
    y: Tensor,
    *,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """Two fully connected networks of at most 25,000 weights each, side by side, on some digits."""
    held = state(networks, x, y)
    setting = {**VALUES, **(values or {})}
    names: Sequence[str] = list(networks)
    alt = (
        f"A digit moves along a direction in pixel space, for two networks ({names[0]} and "
        f"{names[1]}): the direction as an image, the moved digit, the class probabilities, and "
        f"the loss beside its linear and quadratic models. {readout(held, setting)}"
    )
    return show(
        "digit-curvature",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
