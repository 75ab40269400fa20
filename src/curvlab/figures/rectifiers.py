"""The figures of the chapter on rectifier networks."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from curvlab.figures import style
from curvlab.figures.curves import lines

WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "cross-Lipschitz: 1": lambda p: torch.ones_like(p),
    "Hessian norm: p(1 - p)": lambda p: p * (1 - p),
    "squared gradient: (1 - p)²": lambda p: (1 - p) ** 2,
    "Jacobian of p: p²(1 - p)²": lambda p: (p * (1 - p)) ** 2,
}


def confidence_weights() -> Figure:
    """What each penalty multiplies the squared margin gradient by, against confidence."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.WIDTH, style.HEIGHT))
    p = torch.linspace(0, 1, 201, dtype=torch.double)
    rest = torch.logspace(-4, 0, 201, dtype=torch.double)
    looks = zip(style.PALETTE, style.LINE_STYLES, strict=True)
    for (name, weight), (color, dashes) in zip(WEIGHTS.items(), looks, strict=False):
        left.plot(p, weight(p), color=color, linestyle=dashes, label=name)
        right.plot(rest, weight(1 - rest), color=color, linestyle=dashes, label=name)
    left.set(xlabel="confidence p", ylabel="weight")
    right.set(xscale="log", yscale="log", ylim=(1e-9, 3), xlabel="1 - p", ylabel="weight")
    right.invert_xaxis()
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def kink_law(steps: Sequence[float], curves: Mapping[str, Sequence[float]]) -> Figure:
    """Mean squared finite-difference curvature against the step, with the law 1/h beside it."""
    first = next(iter(curves.values()))
    law = {"proportional to 1/h": [2 * first[-1] * steps[-1] / step for step in steps]}
    axes = {"xscale": "log", "yscale": "log", "xlabel": "step h", "ylabel": "mean square"}
    return lines(steps, {**curves, **law}, **axes)


def activations(
    names: Sequence[str], accuracy: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> Figure:
    """Clean and robust accuracy of several trainings, over activations from gentle to sharp."""
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, style.HEIGHT), sharex=True)
    looks = zip(style.MARKERS, style.PALETTE, style.LINE_STYLES, strict=True)
    for (method, both), (marker, color, dashes) in zip(accuracy.items(), looks, strict=False):
        for axis, values in zip(axes, both, strict=True):
            axis.plot(
                range(len(names)),
                values,
                marker=marker,
                color=color,
                linestyle=dashes,
                label=method,
            )
    for axis, title in zip(axes, ("clean accuracy", "accuracy under attack"), strict=True):
        axis.set_title(title)
        axis.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
        axis.set_xlabel("activation")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure
