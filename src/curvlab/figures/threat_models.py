"""The figures of the chapter on threat models."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab import data, zoo
from curvlab.attacks import Ball, fgsm, fools, minimal_norm, pgd
from curvlab.figures import style
from curvlab.losses import margin_cross_entropy

POWERS = {"l1": 1.0, "l2": 2.0, "l-infinity": torch.inf}


class Rung(NamedTuple):
    """What one attack made of each image."""

    x: Tensor  # (B, 1, H, W)
    logits: Tensor  # (B, C)


def worst_points(gradient: Tensor) -> Figure:
    """Three balls in the plane, the level lines of a linear function, and its worst points."""
    figure, panels = plt.subplots(1, 3, figsize=(style.WIDTH, 2.6))
    angle = torch.linspace(0, 2 * torch.pi, 721)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    side = torch.linspace(-1.45, 1.45, 60)
    across, up = torch.meshgrid(side, side, indexing="xy")
    height = gradient[0] * across + gradient[1] * up
    index = gradient.abs().argmax()
    worst = {
        "l1": torch.eye(2)[index] * gradient[index].sign(),
        "l2": gradient / gradient.norm(),
        "l-infinity": gradient.sign(),
    }
    duals = {"l1": "l-infinity", "l2": "l2", "l-infinity": "l1"}
    for panel, (name, power) in zip(panels, POWERS.items(), strict=True):
        size = torch.linalg.vector_norm(circle, power, dim=1, keepdim=True)
        edge, point = circle / size, worst[name]
        panel.contour(across, up, height, levels=11, colors=style.GRAY, linewidths=0.6, alpha=0.6)
        panel.fill(
            *edge.T, facecolor=(style.BLUE, 0.15), edgecolor=style.BLUE, linewidth=1.8
        )
        arrow = 0.7 * gradient / gradient.norm()
        panel.annotate("", arrow.tolist(), (0, 0), arrowprops={"arrowstyle": "->"})
        panel.plot(*point.tolist(), "o", color=style.ORANGE, markersize=8)
        rise = float(gradient @ point)
        panel.set_title(f"{name} ball: rise {rise:.2f}", loc="center")
        panel.set_xlabel(f"= {duals[name]} norm of the gradient")
        panel.set(aspect="equal", xlim=(-1.45, 1.45), ylim=(-1.45, 1.45), xticks=[], yticks=[])
        panel.grid(False)
    return figure


def says(logits: Tensor) -> list[str]:
    """The class and the confidence that each row of logits speaks for.

    >>> says(torch.tensor([[0.0, 5.0], [1.0, 0.0]]))
    ['1 (99%)', '0 (73%)']
    """
    confidence, found = logits.detach().softmax(1).max(1)
    # a confidence of 99.6% is not one of 100%
    shown = [min(int(100 * share), 99) for share in confidence.tolist()]
    return [f"{label} ({share}%)" for label, share in zip(found.tolist(), shown, strict=True)]


def gallery(rows: Mapping[str, Rung], y: Tensor) -> Figure:
    """One row of images each; below each image the network's answer, framed where it is wrong."""
    columns = len(y)
    height = 1.28 * len(rows)
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(style.WIDTH, height), squeeze=False
    )  # fmt: skip
    for line, (name, rung) in zip(grid, rows.items(), strict=True):
        wrong = fools(rung.logits.detach(), y)
        answers = says(rung.logits)
        for column, panel in enumerate(line):
            picture(panel, rung.x[column], answers[column], bool(wrong[column]))
        line[0].set_ylabel(name)
    return figure


def picture(panel: Axes, image: Tensor, answer: str, wrong: bool) -> None:
    """An image with the network's answer below it; a wrong one has a thick frame and a cross."""
    pixels = image.detach().cpu().squeeze().numpy()
    # smoothed noise compresses badly, and a page's first view has a budget
    panel.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    color = style.ORANGE if wrong else style.INK
    panel.set_xlabel(f"\N{MULTIPLICATION X} {answer}" if wrong else answer, color=color)
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    for spine in panel.spines.values():
        spine.set(visible=True, color=color, linewidth=2.5 if wrong else 0.6)


def bracket(
    radii: Sequence[float], networks: Mapping[str, tuple[Tensor, Tensor]], xlabel: str
) -> Figure:
    """Certified and attacked accuracy against the radius; between them lies what nobody knows.

    Each network brings the certified radius and the distance of the nearest fooling point found,
    one of each for every image.
    """
    figure, panels = plt.subplots(
        1, len(networks), figsize=(style.WIDTH, 3.0), sharey=True, squeeze=False
    )
    at = torch.as_tensor(radii)
    for panel, (name, (certified, attacked)) in zip(panels[0], networks.items(), strict=True):
        low, high = (
            (ends[None].cpu() > at.to(ends)[:, None].cpu()).double().mean(1)
            for ends in (certified, attacked)
        )
        panel.fill_between(at, low, high, color=style.GRAY, alpha=0.2, label="unknown")
        panel.plot(at, high, "--", color=style.ORANGE, label="survives the attack")
        panel.plot(at, low, "-", color=style.BLUE, label="certified")
        panel.set(title=name, xlabel=xlabel, ylim=(0, 1.02))
    panels[0, 0].set_ylabel("share of the images")
    panels[0, 0].legend()
    return figure


def climb(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> dict[str, Rung]:
    """The rungs of the ladder on some images within one budget in l-infinity.

    >>> torch.manual_seed(0) and None
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> list(climb(model, torch.rand(1, 1, 2, 2), torch.tensor([0]), 0.1))
    ['clean', 'random signs', 'FGSM', 'PGD', 'nearest']
    """
    generator = torch.Generator().manual_seed(0)
    signs = (torch.rand(x.shape, generator=generator) < 0.5).to(x) * 2 - 1
    points = {
        "clean": x,
        "random signs": Ball(x, eps, "linf").project(x + eps * signs),
        "FGSM": fgsm(model, x, y, eps).x,
        "PGD": pgd(model, x, y, eps, steps=20, random_start=False).x,
        "nearest": minimal_norm(model, x, y, "linf", rounds=8, steps=10, generator=generator).x,
    }
    with torch.no_grad():
        return {name: Rung(point, model(point)) for name, point in points.items()}


@cache
def _network(name: str, device: torch.device) -> nn.Module:
    return zoo.load(f"mnist/small/softplus/{name}").double().to(device)


def ladder_lab(image: float, radius: float, network: str, device: torch.device) -> Figure:
    """The ladder on one test image: the pictures above, their losses below."""
    model = _network(network, device)
    images, labels = data.load("mnist", "test")
    x, y = images[int(image)][None].double().to(device), labels[int(image)][None].to(device)
    rungs = climb(model, x, y, radius)
    figure, grid = plt.subplots(
        2, len(rungs), figsize=(style.WIDTH, 3.6), height_ratios=(1.25, 1)
    )
    for panel, (name, rung) in zip(grid[0], rungs.items(), strict=True):
        picture(panel, rung.x, says(rung.logits)[0], bool(fools(rung.logits, y)))
        panel.set_title(name, loc="center", fontsize=9)
    spec = grid[1, 0].get_gridspec()
    for panel in grid[1]:
        panel.remove()
    below = figure.add_subplot(spec[1, :])
    losses = [float(margin_cross_entropy(rung.logits, y)) for rung in rungs.values()]
    below.bar(range(len(losses)), losses, color=style.BLUE, width=0.5)
    for at, loss in enumerate(losses):
        below.text(at, loss, f" {loss:.2g}", ha="center", va="bottom", fontsize=8)
    length = float((rungs["nearest"].x - x).abs().max())
    names = [*list(rungs)[:-1], f"nearest, at {length:.3f}"]
    below.set(ylabel="loss", ylim=(0, max(1.3 * max(losses), 1.0)), xlim=(-0.5, len(losses) - 0.5))
    below.set_xticks(range(len(losses)), names)
    below.grid(False, axis="x")
    return figure
