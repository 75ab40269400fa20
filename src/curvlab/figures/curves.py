"""Plain line charts that several chapters draw."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor


def lines(along: Sequence[float], curves: Mapping[str, Sequence[float]], **axis: object) -> Figure:
    """Named curves over common points, about eight markers each; `axis` goes to `Axes.set`.

    >>> figure = lines([1, 2, 3], {"square": [1, 4, 9]}, xlabel="n", yscale="log")
    >>> figure.axes[0].get_yscale(), figure.axes[0].get_legend_handles_labels()[1]
    ('log', ['square'])
    """
    for name, curve in curves.items():
        if len(curve) != len(along):
            raise ValueError(f"requires {len(along)} values of {name!r}. Found {len(curve)}.")
    figure, panel = plt.subplots()
    for name, curve in curves.items():
        panel.plot(along, curve, markevery=max(1, len(along) // 8), label=name)
    panel.set(**axis)
    panel.legend()
    return figure


def ranges(
    along: Sequence[float], groups: Mapping[str, Tensor], titles: Sequence[str], xlabel: str
) -> Figure:
    """One log-log panel a title; each group `(seeds, points, panels)` is a line through its means
    with bars from its lowest to its highest seed."""
    for name, found in groups.items():
        if found.dim() != 3 or found.shape[1:] != (len(along), len(titles)):
            wanted = f"(seeds, {len(along)}, {len(titles)})"
            raise ValueError(f"requires {wanted} of {name!r}. Found {tuple(found.shape)}.")
    figure, panels = plt.subplots(1, len(titles), squeeze=False)
    for column, (panel, title) in enumerate(zip(panels[0], titles, strict=True)):
        for name, found in groups.items():
            values = found[:, :, column]
            mean, low, high = values.mean(0), values.amin(0), values.amax(0)
            bars = [(mean - low).tolist(), (high - mean).tolist()]
            panel.errorbar(along, mean.tolist(), bars, capsize=3, label=name)
        panel.set(xscale="log", yscale="log", xlabel=xlabel, title=title)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    panels[0, 0].legend()
    return figure
