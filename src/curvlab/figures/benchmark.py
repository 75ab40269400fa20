"""The figures of the benchmark: what a method's strength trades."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from curvlab.figures import style

if TYPE_CHECKING:
    import pandas

NEEDED = ("method", "value_varied", "clean", "robust_l2", "robust_linf", "selected")


def strength_curves(trials: "pandas.DataFrame", methods: Sequence[str]) -> Figure:
    """Clean against robust accuracy on validation images, a line through the strengths of each
    method in order; the chosen strength is ringed. A method's place in `methods` gives its color
    and mark, the same in every figure; one that has no trials, or never trained, is not drawn."""
    missing = [name for name in NEEDED if name not in trials.columns]
    if missing or trials.empty:
        raise ValueError(
            f"requires trials with columns {', '.join(NEEDED)}. "
            f"Found {len(trials)} without {', '.join(missing) or 'rows'}."
        )
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDTH, 4.0), sharey=True)
    if unknown := set(trials.method) - set(methods):
        raise ValueError(f"requires methods among {list(methods)}. Found {sorted(unknown)}.")
    for panel, norm in zip(panels, ("l2", "linf"), strict=True):
        for i, method in enumerate(methods):
            own = trials[trials.method == method].sort_values("value_varied")
            if own.empty or method == "untrained":
                continue
            chosen = own[own.selected]
            color = style.PALETTE[(i + 2 * (i // 5)) % 5]
            panel.plot(
                100 * own[f"robust_{norm}"], 100 * own.clean, style.MARKERS[i % 5], color=color,
                linestyle=style.LINE_STYLES[i // 5], linewidth=1, label=method,
            )
            panel.plot(
                100 * chosen[f"robust_{norm}"], 100 * chosen.clean, "o", color=color,
                markersize=12, fillstyle="none", linestyle="",
            )
        panel.set_xlabel(f"% robust in {norm}")
    panels[0].set_ylabel("% clean")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8
    )
    return figure
