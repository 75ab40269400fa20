"""The figures of the chapter on generalization."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from curvlab import data
from curvlab.figures import style


def complexities(
    sizes: Sequence[int], classes: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> Figure:
    """One panel a class: the complexity that was found, and its bound, over sample sizes."""
    figure, panels = plt.subplots(
        1, len(classes), figsize=(style.WIDTH, style.HEIGHT), sharey=True, squeeze=False
    )
    for panel, (name, (found, bound)) in zip(panels[0], classes.items(), strict=True):
        panel.plot(sizes, bound, color=style.ORANGE, linestyle="--", label="bound")
        panel.plot(sizes, found, "o-", color=style.BLUE, label="found")
        panel.set(title=name, xscale="log", yscale="log", xlabel="sample size n")
    panels[0, 0].set_ylabel("Rademacher complexity")
    panels[0, 0].legend()
    return figure


def gaps(
    sizes: Sequence[int], panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
) -> Figure:
    """One panel a risk; in it a line a method: the mean over seeds of the gap at each size, with a
    bar from the lowest to the highest seed."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(style.WIDTH, 3.8), sharey=True, squeeze=False
    )
    for axis, (title, curves) in zip(axes[0], panels.items(), strict=True):
        looks = zip(style.PALETTE, style.LINE_STYLES, style.MARKERS, strict=True)
        for (name, found), (color, dashes, marker) in zip(curves.items(), looks, strict=False):
            values = torch.tensor(found, dtype=torch.double)
            if values.dim() != 2 or len(values) != len(sizes):
                raise ValueError(
                    f"requires ({len(sizes)}, seeds) values of {name!r}. "
                    f"Found {tuple(values.shape)}."
                )
            mean, low, high = values.mean(1), values.amin(1), values.amax(1)
            axis.errorbar(
                sizes, mean.tolist(), [(mean - low).tolist(), (high - mean).tolist()],
                color=color, linestyle=dashes, marker=marker, capsize=3, label=name,
            )
        axis.axhline(0, color=style.GRAY, linewidth=0.8)
        axis.set(title=title, xscale="log", xlabel="training images")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("test risk less training risk")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


class Margins(NamedTuple):
    """Margins of a linear classifier of two digits, and the norm of their gradient."""

    train: Tensor
    test: Tensor
    slope: float


def pair(digits: tuple[int, int], split: str) -> tuple[Tensor, Tensor]:
    """The images of two digits, flat, and +1 or -1 for the first or the second."""
    x, y = data.load("mnist", split)
    held = (y == digits[0]) | (y == digits[1])
    return x[held].flatten(1).double(), torch.where(y[held] == digits[0], 1.0, -1.0).double()


@lru_cache(maxsize=8)
def linear_margins(
    digits: tuple[int, int], count: int, strength: float, device: torch.device
) -> Margins:
    """The minimizer w of the mean of log(1 + exp(-m)) + strength |w|^2 / 2, for the margins
    m = +-w.x of the first `count` training images of two digits, and its margins.

    The logits are +-w.x / 2, so that |w|^2 / 2 is the squared Frobenius norm of their Jacobian.
    The problem is strictly convex: the answer depends on no seed.
    """
    if count < 1 or not strength > 0:
        raise ValueError(f"requires an image and a positive strength. Found {count}, {strength}.")
    x, sign = (part[:count].to(device) for part in pair(digits, "train"))
    w = torch.zeros(x.shape[1], dtype=x.dtype, device=device, requires_grad=True)
    solver = torch.optim.LBFGS([w], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-14,
                               line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.softplus(-sign * (x @ w)).mean()
        total = loss + strength / 2 * w.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(objective)  # type: ignore[no-untyped-call]
    solution = w.detach()
    seen, signs = (part.to(device) for part in pair(digits, "test"))
    return Margins(sign * (x @ solution), signs * (seen @ solution), solution.norm().item())


def linear_gap(margins: Margins, radius: float) -> float:
    """The gap of the robust loss in an l2 ball, where an affine margin loses `radius * slope`."""
    lost = radius * margins.slope
    train, test = (
        torch.nn.functional.softplus(lost - part).mean() for part in (margins.train, margins.test)
    )
    return float(test - train)


PAIRS = {"3 and 5": (3, 5), "4 and 9": (4, 9)}


def margin_lab(power: int, digits: str, strength: float, device: torch.device) -> Figure:
    """Which share of margins lies below each value, and the gaps over the radius, for `2 ** power`
    training images."""
    margins = linear_margins(PAIRS[digits], 2**power, strength, device)
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.WIDTH, style.HEIGHT))
    for name, values, color, dashes in (
        ("training", margins.train, style.BLUE, "-"), ("test", margins.test, style.ORANGE, "--")
    ):
        ordered = values.sort().values.cpu()
        share = torch.arange(1, len(ordered) + 1) / len(ordered)
        left.step(ordered, share, where="post", color=color, linestyle=dashes, label=name)
    low, high = (float(margins.test.quantile(level)) for level in (0.005, 0.995))
    left.set(xlabel="margin", ylabel="share of images below", xlim=(low, high))
    left.legend()
    radii = torch.linspace(0, 2, 41).tolist()
    robust = [linear_gap(margins, radius) for radius in radii]
    right.plot(radii, robust, color=style.PURPLE, label="robust loss")
    right.axhline(robust[0], color=style.GREEN, linestyle="--", label="regularized loss")
    right.set(xlabel="radius", ylabel="gap", ylim=(min(0.0, *robust), max(robust) * 1.15))
    right.legend()
    return figure


