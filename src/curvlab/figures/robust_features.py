"""The figures of the chapter on robust features: directions as images, and measures of them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab.attacks import pgd
from curvlab.calculus import hessian_operator
from curvlab.figures import style
from curvlab.losses import margin_cross_entropy
from curvlab.spectrum import top_eigenpair

Interval = tuple[float, float, float]


def gallery(images: Tensor, directions: Mapping[str, Tensor]) -> Figure:
    """A column for each image; below it, a row of directions for each name."""
    for name, found in directions.items():
        if found.shape != images.shape:
            raise ValueError(
                f"requires directions of shape {tuple(images.shape)}. "
                f"Found {tuple(found.shape)} for {name!r}."
            )
    count, rows = len(images), len(directions) + 1
    size = style.WIDTH, 0.8 * style.WIDTH * rows / count
    figure, axes = plt.subplots(rows, count, figsize=size, squeeze=False)
    for i in range(count):
        style.show_image(axes[0, i], images[i])
        for row, found in zip(axes[1:], directions.values(), strict=True):
            style.show_image(row[i], found[i], signed=True)
    for axis, name in zip(axes[:, 0], ["image", *directions], strict=True):
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def portrait(
    model: nn.Module, x: Tensor, y: Tensor, epsilon: float, device: torch.device
) -> Figure:
    """One image: its loss gradient, its top Hessian eigenvector, its l2 adversarial example."""
    if len(x) != 1:
        raise ValueError(f"requires one image. Found {len(x)}.")
    model, x, y = model.to(device), x.to(device), y.to(device)
    operator = hessian_operator(lambda z: margin_cross_entropy(model(z), y), x)
    gradient = operator.gradient.detach()
    top = top_eigenpair(operator, gradient, steps=20)
    sign = 1.0 if float((top.vector * gradient).sum()) >= 0 else -1.0
    found = pgd(model, x, y, epsilon, "l2", steps=15, keep="loss", random_start=False)
    probability, answer = model(found.x).detach().softmax(1).max(1)
    figure, axes = plt.subplots(1, 4, figsize=(style.WIDTH, 2.3))
    panels = [
        (x, False, f"image of class {int(y)}"),
        (gradient, True, f"gradient,\nlength {float(gradient.norm()):.2g}"),
        (sign * top.vector, True, f"eigenvector,\nvalue {top.value.item():.2g}"),
        (found.x, False, f"attacked: {int(answer)}\nwith {100 * float(probability):.0f}%"),
    ]
    for axis, (image, signed, title) in zip(axes, panels, strict=True):
        style.show_image(axis, image, signed=signed)
        axis.set_title(title, fontsize=9)
    return figure


def measured(
    names: Sequence[str],
    panels: Mapping[str, Sequence[Interval]],
    chance: Mapping[str, float],
) -> Figure:
    """One panel a measure: a mean with its interval for each name, and the level of chance."""
    for title, found in panels.items():
        if len(found) != len(names):
            raise ValueError(f"requires {len(names)} values of {title!r}. Found {len(found)}.")
    size = style.WIDTH, 1.3 + 0.22 * len(names)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    at = range(len(names))
    for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
        means = [mean for mean, _, _ in found]
        bars = [[m - low for m, low, _ in found], [high - m for m, _, high in found]]
        axis.errorbar(means, at, xerr=bars, fmt="o", color=style.BLUE, capsize=2)
        axis.set_title(title, fontsize=9)
        if title in chance:
            axis.axvline(chance[title], color=style.ORANGE, linestyle="--")
            axis.set_xlabel(f"dashed: chance, {chance[title]:.2g}", fontsize=8)
    axes[0, 0].set_yticks(list(at), names)
    axes[0, 0].invert_yaxis()
    return figure
