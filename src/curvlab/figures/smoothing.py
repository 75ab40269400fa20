"""The figure of the chapter on implicit smoothing."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from curvlab.bounds import Smoothness
from curvlab.figures import style


def along_path(walked: Tensor, curves: Mapping[str, Tensor], limits: Smoothness) -> Figure:
    """Value, slope and curvature of smoothed classifiers along a path, between their limits.

    Each curve is `(3, points)`: the three in this order.
    """
    for name, found in curves.items():
        if found.shape != (3, len(walked)):
            raise ValueError(f"requires (3, {len(walked)}) of {name!r}. Found {(*found.shape,)}.")
    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(style.WIDTH, 5.4))
    for row, (axis, title) in enumerate(zip(axes, ("value", "slope", "curvature"), strict=True)):
        for name, found in curves.items():
            axis.plot(walked, found[row], markevery=len(walked) // 8 or 1, label=name)
        axis.set_ylabel(title)
    for axis, limit in zip(axes[1:], limits, strict=True):
        for sign in (-1, 1):
            axis.axhline(sign * limit, color=style.GRAY, linestyle="--", linewidth=1,
                         label="limit" if sign > 0 else None)
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].legend(loc="upper right", ncols=2)
    axes[2].set_xlabel("distance walked")
    return figure
