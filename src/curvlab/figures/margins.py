"""Margin against slope, image by image: along a diagonal of the plane the first-order radius is
the same."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor, nn

from curvlab.attacks import Norm
from curvlab.figures.strength import local_picture, require_strength
from curvlab.figures.style import BLUE, GRAY, INK, PAPER, WIDTH

DIAGONALS: Mapping[Norm, tuple[float, ...]] = {
    "l2": (0.1, 0.3, 1.0, 3.0),
    "linf": (0.01, 0.03, 0.1, 0.3),
}


def slope_plane(
    networks: Mapping[float, nn.Module],
    strength: float,
    ball: Norm,
    x: Tensor,
    y: Tensor,
    device: torch.device,
) -> Figure:
    """The correct images of one strength over those of the weakest; a panel of curvatures beside.

    A network whose margins and slopes shrink alike moves along the diagonals: its images come
    closer to the corner and no farther from another class.
    """
    require_strength(networks, strength)
    x, y = x.to(device), y.to(device)
    pictures = {}
    for s, network in networks.items():
        found = local_picture(network.to(device), x, y, ball)
        pictures[s] = {name: v[found["margin"] > 0].cpu() for name, v in found.items()}
    figure, (plane, bend) = plt.subplots(1, 2, figsize=(WIDTH, 3.4), width_ratios=(5, 3))
    slopes = torch.cat([p["margin"] / p["radius"] for p in pictures.values()])
    leads = torch.cat([p["margin"] for p in pictures.values()])
    low, high = slopes.min().item() / 1.3, slopes.max().item() * 1.3
    left, right = leads.quantile(0.02).item() / 1.5, leads.max().item() * 1.3
    plane.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, high))
    plane.set(xlabel="margin", ylabel=f"slope of the margin, dual to {ball}")
    for side in (plane.xaxis, plane.yaxis):
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_major_formatter(StrMethodFormatter("{x:g}"))
        side.set_minor_formatter(NullFormatter())
    for radius in DIAGONALS[ball]:
        plane.plot(
            [radius * low, radius * high], [low, high], color=INK, linewidth=0.8, linestyle=":"
        )
        place = min(max(radius * low * 1.2, left * 1.2), right / 2)
        if low < place / radius < high:
            plane.annotate(
                f"{radius:g}", (place, place / radius), fontsize=8, ha="center", va="center",
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
            )
    curvatures = torch.cat([p["curvature"] for p in pictures.values()]).log10()
    edges = 10 ** torch.linspace(curvatures.min(), curvatures.max() + 1e-6, 21)
    tallest = max(p["curvature"].histogram(edges.to(x.dtype)).hist.max() for p in pictures.values())
    shown = {min(networks): (GRAY, "s", "stepfilled"), strength: (BLUE, "o", "step")}
    for s, (color, marker, kind) in shown.items():
        found = pictures[s]
        plane.plot(
            found["margin"], found["margin"] / found["radius"], linestyle="none", marker=marker,
            color=color, markersize=3.5, alpha=0.6, label=f"strength {s:g}",
        )
        bend.hist(
            found["curvature"].tolist(), edges.tolist(), histtype=kind, color=color,
            alpha=0.35 if kind == "stepfilled" else 1, linewidth=1.6,
        )
    plane.legend(loc="upper left", fontsize=8, frameon=True, facecolor=PAPER, edgecolor="none")
    bend.set(xlabel="top curvature of the loss", xscale="log", yticks=[])
    bend.set_ylim(0, 1.1 * float(tallest))
    return figure
