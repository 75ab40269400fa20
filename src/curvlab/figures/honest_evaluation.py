"""The defenses that the chapter on honest evaluation breaks, and its figures."""

from collections.abc import Callable, Mapping
from functools import cache
from math import pi

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab import data, zoo
from curvlab.attacks import apgd, dlr_loss, masking_report
from curvlab.calculus import Field
from curvlab.figures import style

Pixels = Callable[[Tensor], Tensor]
DEFENSES = ("logit scale", "rounding", "washboard")
STEPS = (0.0, 0.02, 0.05, 0.1)  # of the rounding at each level
LEVELS = len(STEPS) - 1
EPS = 0.1


def rounded(x: Tensor, step: float) -> Tensor:
    """Every pixel moves to the nearest multiple of `step`.

    >>> rounded(torch.tensor([0.07, 0.22]), 0.05)
    tensor([0.0500, 0.2000])
    """
    return (x / step).round() * step


def washboard(x: Tensor, step: float, depth: float) -> Tensor:
    """Every pixel moves by at most `depth * step / 2 pi`; the slope at multiples of `step` is
    `1 - depth`.

    >>> washboard(torch.tensor([0.0, 0.25]), 1.0, 2.0)
    tensor([ 0.0000, -0.0683])
    """
    return x - depth * step / (2 * pi) * (2 * pi * x / step).sin()


def straight_through(pixels: Pixels) -> Pixels:
    """The same map with the identity's derivative (Athalye et al., 2018).

    >>> x = torch.tensor([0.3], requires_grad=True)
    >>> straight_through(torch.round)(x).backward()
    >>> x.grad
    tensor([1.])
    """
    return lambda x: x + (pixels(x) - x).detach()


def defended(model: Field, defense: str, level: int, honest: bool = False) -> Field:
    """The model behind a defense, none at level 0; `honest` gives its attacker a true gradient."""
    if defense not in DEFENSES:
        raise ValueError(f"requires one of {', '.join(DEFENSES)}. Found {defense!r}.")
    if not 0 <= level <= LEVELS:
        raise ValueError(f"requires a level from 0 to {LEVELS}. Found {level}.")
    if defense == "logit scale":
        return lambda x: 10.0**level * model(x)
    if not level:
        return model

    def pixels(x: Tensor) -> Tensor:
        if defense == "rounding":
            return rounded(x, STEPS[level])
        return washboard(x, 0.02, level)

    seen = straight_through(pixels) if honest else pixels
    return lambda x: model(seen(x))


def verdicts(accuracies: Mapping[str, float], title: str) -> Figure:
    """One bar an attack, its accuracy beside it."""
    figure, axes = plt.subplots(figsize=(style.WIDTH, 3.0))
    names, values = list(accuracies), list(accuracies.values())
    bars = axes.barh(names[::-1], values[::-1], color=style.BLUE, height=0.6)
    axes.bar_label(bars, fmt="{:.2f}", padding=4)
    axes.set(xlim=(0, 1.12), xticks=[0, 0.5, 1], xlabel="accuracy", title=title)
    return figure


@cache
def _network(device: torch.device) -> nn.Module:
    return zoo.load("mnist/small/softplus/plain").double().to(device)


def masking_lab(defense: str, level: float, device: torch.device) -> Figure:
    """What five attacks leave of a defended network, and its masking index."""
    images, labels = data.load("mnist", "test")
    x, y = images[:50].double().to(device), labels[:50].to(device)
    model = defended(_network(device), defense, int(level))
    report = masking_report(model, x, y, EPS, steps=15, queries=150)
    adapted = defended(_network(device), defense, int(level), honest=True)
    draw = torch.Generator(device).manual_seed(0)
    found = apgd(adapted, x, y, EPS, steps=15, loss=dlr_loss, generator=draw).fooled
    index = report.cross_entropy - min(report.dlr, report.black_box)
    return verdicts(
        {
            "clean": report.clean,
            "one step": report.one_step,
            "ascent, cross-entropy": report.cross_entropy,
            "ascent, DLR": report.dlr,
            "Square": report.black_box,
            "knows the defense": float((~found).double().mean()),
        },
        f"masking index {index:+.2f}",
    )
