"""Figure: a classifier on a line, blurred by Gaussian noise, with its slope and curvature."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure as Plot
from scipy.stats import norm

from curvlab.bounds.smoothing import smoothing_constants
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, show

Vector = np.ndarray[Any, np.dtype[np.float64]]

VALUES: Mapping[str, Any] = {"shape": "band", "width": 0.5, "sigma": 0.5, "x": 0.2}
SAMPLE: Vector = np.linspace(-4, 4, 401)


def intervals(values: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Where the sharp classifier says yes."""
    width = values["width"]
    stripes = [((2 * k - 1) * width, (2 * k + 1) * width) for k in (-3, -1, 1, 3)]
    return {"half": [(0.0, np.inf)], "band": [(-width, width)], "stripes": stripes}[values["shape"]]


class Blurred(NamedTuple):
    """`E f(x + sigma z)` and its two derivatives at some points."""

    value: Vector
    slope: Vector
    bend: Vector


def blurred(values: Mapping[str, Any], x: Vector) -> Blurred:
    """The blurred classifier in closed form."""
    sigma = values["sigma"]
    value, slope, bend = np.zeros((3, *x.shape))
    for low, high in intervals(values):
        a, b = (low - x) / sigma, (high - x) / sigma
        value += norm.cdf(b) - norm.cdf(a)
        slope += (norm.pdf(a) - norm.pdf(b)) / sigma
        for end, sign in ((a, 1), (b, -1)):
            finite = np.where(np.isfinite(end), end, 0)
            bend += sign * finite * norm.pdf(finite) / sigma**2
    return Blurred(value, slope, bend)


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    sigma, x = values["sigma"], values["x"]
    yes = blurred(values, np.array([x])).value[0]
    curve = blurred(values, SAMPLE)
    slope, bend = smoothing_constants(sigma)
    radius = sigma * abs(norm.ppf(np.clip(yes, 1e-12, 1 - 1e-12)))
    edge = min(abs(end - x) for pair in intervals(values) for end in pair)
    return (
        f"At the point the blurred classifier says yes with {100 * yes:.1f}%, which certifies "
        f"{digits(radius)}; the sharp classifier's edge is {digits(edge)} away. Largest slope "
        f"{digits(np.abs(curve.slope).max())} of at most {digits(slope)}, largest curvature "
        f"{digits(np.abs(curve.bend).max())} of at most {digits(bend)}."
    )


def still(values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    curve = blurred(values, SAMPLE)
    limits = (None, *smoothing_constants(values["sigma"]))
    names = ("says yes", "slope", "curvature")
    with style.context():
        drawn, axes = plt.subplots(3, 1, sharex=True, figsize=(style.WIDTH, 4.6))
        sharp = sum(abs(SAMPLE - (a + b) / 2) < (b - a) / 2 for a, b in intervals(values))
        axes[0].plot(SAMPLE, sharp, ":", color=style.INK, label="sharp classifier")
        for axis, y, limit, name in zip(axes, curve, limits, names, strict=True):
            axis.plot(SAMPLE, y, "-", color=style.BLUE, label="blurred by noise")
            axis.set_ylabel(name)
            if limit is not None:
                axis.axhline(limit, color=style.ORANGE, linestyle="--", label="limit")
                axis.axhline(-limit, color=style.ORANGE, linestyle="--")
        axes[0].legend(loc="upper right")
        axes[1].legend(loc="upper right")
    plt.close(drawn)
    return drawn


def figure(*, values: Mapping[str, Any] | None = None, caption: str | None = None) -> Figure:
    """Smoothing on a line; it needs no network."""
    setting = {**VALUES, **(values or {})}
    alt = (
        "Three panels over a line: a sharp classifier and the same blurred by Gaussian noise; the "
        "slope of the blurred one between two limits; its curvature between two limits. "
        f"{readout({}, setting)}"
    )
    return show("smoothing", {}, fallback=still(setting), alt=alt, caption=caption, values=setting)
