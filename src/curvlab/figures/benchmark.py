"""The figures of the benchmark: what a strength trades, and two networks a method."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib import ticker
from matplotlib.figure import Figure

from curvlab.figures import style

if TYPE_CHECKING:
    import pandas

COLUMNS = 4
PERCENTS = (1, 2, 3, 5, 10, 20, 30, 50, 80)
NEEDED = ("method", "value_varied", "clean", "robust_l2", "robust_linf", "selected")


def strength_curves(trials: "pandas.DataFrame", methods: Sequence[str]) -> Figure:
    """Errors on clean and on attacked validation images, a panel a method: a line through its
    strengths in order, the strongest drawn large, the chosen one ringed, all other trials in gray.
    What is attacked counts as the rule of choice counts it: the mean of both threats."""
    missing = [name for name in NEEDED if name not in trials.columns]
    if missing or trials.empty:
        raise ValueError(
            f"requires trials with columns {', '.join(NEEDED)}. "
            f"Found {len(trials)} without {', '.join(missing) or 'rows'}."
        )
    if unknown := set(trials.method) - set(methods):
        raise ValueError(f"requires methods among {list(methods)}. Found {sorted(unknown)}.")
    trials = trials[trials.method != "untrained"].assign(
        fooled=100 - 50 * (trials.robust_l2 + trials.robust_linf), wrong=100 - 100 * trials.clean
    )
    shown = [name for name in methods if name in set(trials.method)]
    rows = -(-len(shown) // COLUMNS)
    figure, panels = plt.subplots(
        rows, COLUMNS, figsize=(style.WIDTH, 0.7 + 1.4 * rows), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for panel, method in zip(panels.flat, shown, strict=False):
        own = trials[trials.method == method].sort_values("value_varied")
        panel.plot(trials.fooled, trials.wrong, ".", color=style.GRAY, alpha=0.35, markersize=3)
        panel.plot(own.fooled, own.wrong, "-o", color=style.BLUE, linewidth=1, markersize=3)
        panel.plot(own.fooled[-1:], own.wrong[-1:], "o", color=style.BLUE, markersize=6)
        for ring in own[own.selected].itertuples():
            panel.plot(
                ring.fooled, ring.wrong, "o", color=style.ORANGE, markersize=11, fillstyle="none",
                clip_on=False,
            )  # fmt: skip
        panel.set_title(method, fontsize=9)
    for panel in panels.flat[len(shown):]:
        panel.set_axis_off()
    for letter, values in (("x", trials.fooled), ("y", trials.wrong)):  # all panels share both axes
        low, high = values.min() / 1.15, values.max() * 1.15
        panels[0, 0].set(**{f"{letter}scale": "log", f"{letter}lim": (low, high)})
        axis = getattr(panels[0, 0], f"{letter}axis")
        axis.set_major_locator(ticker.FixedLocator(PERCENTS))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(ticker.NullLocator())
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.04)
    figure.supxlabel("% wrong under attack, mean of both threats", fontsize=9.5)
    figure.supylabel("% wrong on clean images", fontsize=9.5)
    return figure


def ring_to_dot(
    methods: Sequence[str], panels: Mapping[str, Sequence[tuple[float, float]]]
) -> Figure:
    """A row a method, a panel an attack: a ring where the first of two networks is, a dot where the
    second is. Where both are one network there is only the dot."""
    for title, ends in panels.items():
        if len(ends) != len(methods):
            raise ValueError(f"requires {len(methods)} pairs of {title!r}. Found {len(ends)}.")
    size = style.WIDTH, 0.9 + 0.3 * len(methods)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for axis, (title, ends) in zip(axes[0], panels.items(), strict=True):
        for row, (first, second) in enumerate(ends):
            if first != second:
                axis.plot([first, second], [row, row], "-", color=style.GRAY, linewidth=1)
                axis.plot(first, row, "o", color=style.ORANGE, fillstyle="none")
            axis.plot(second, row, "o", color=style.BLUE)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("% kept")
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(methods)), methods)
    axes[0, 0].invert_yaxis()
    return figure
