"""The figures of the chapter on certificates."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab.attacks import minimal_norm
from curvlab.bounds import certify, dual_radius
from curvlab.figures import style
from curvlab.figures.strength import require_strength


def bracket_lab(
    networks: Mapping[float, nn.Module], strength: float, x: Tensor, y: Tensor, device: torch.device
) -> Figure:
    """One image: every certified radius, what attacks reach, and where an attack must succeed."""
    require_strength(networks, strength)
    if len(x) != 1:
        raise ValueError(f"requires one image. Found {len(x)}.")
    model, x, y = networks[strength].to(device), x.to(device), y.to(device)
    found = certify(model, x, y)
    nearest = minimal_norm(model, x, y, targeted=True, box=None, rounds=8).distance
    rows = {
        "Lipschitz": found.lipschitz,
        "curvature": found.curvature,
        "combined": found.combined,
        "dual": dual_radius(model, x, y),
        "found by attack": nearest,
        "attack is sure": found.attack,
    }
    figure, (image, bars) = plt.subplots(
        1, 2, figsize=(style.WIDTH, 2.8), width_ratios=(0.5, 1.5), layout="constrained"
    )
    style.show_image(image, x)
    image.set_title(f"a {int(y)}, seen as {int(model(x).argmax())}")
    names, sizes = list(rows), [float(radius) for radius in rows.values()]
    reach = 1.3 * max(size for size in sizes if size < float("inf")) or 1.0
    colors = [style.BLUE] * 4 + [style.ORANGE, style.GRAY]
    hatches = [""] * 4 + ["//", ".."]
    for place, (size, color, hatch) in enumerate(zip(sizes, colors, hatches, strict=True)):
        known = size < float("inf")
        bars.barh(place, size if known else 0, color=color, alpha=0.7, hatch=hatch)
        bars.text(
            (size if known else 0) + 0.01 * reach, place, f"{size:.3g}" if known else "unknown",
            va="center", fontsize=8,
        )  # fmt: skip
    bars.set_yticks(range(len(names)), names)
    bars.invert_yaxis()
    bars.set(xlim=(0, reach), xlabel="$\\ell_2$ radius")
    return figure


def certified_and_attacked(
    radii: Mapping[str, Tensor],
    attacked: Mapping[str, Mapping[float, float]],
    largest: float,
) -> Figure:
    """Certified accuracy against the radius for each network, one certified radius an image, and
    beside it, as marks, the accuracy that an attack leaves at a few radii.

    >>> figure = certified_and_attacked({"a": torch.tensor([0.0, 1.0])}, {"a": {0.5: 0.8}}, 1.0)
    >>> [float(y) for y in figure.axes[0].lines[1].get_ydata()]
    [0.8]
    """
    figure, panel = plt.subplots()
    grid = torch.linspace(0, largest, 101)
    for (name, found), marker in zip(radii.items(), style.MARKERS, strict=False):
        share = (found > grid.to(found)[:, None]).double().mean(1)
        (line,) = panel.plot(grid.tolist(), share.tolist(), marker="", label=f"{name}, certified")
        reached = {e: value for e, value in sorted(attacked[name].items()) if e <= largest}
        panel.plot(
            list(reached), list(reached.values()), marker, linestyle="none",
            color=line.get_color(), label=f"{name}, under attack",
        )  # fmt: skip
    panel.set(xlabel="l2 radius", ylabel="share of images", ylim=(-0.02, 1.02))
    figure.legend(loc="outside upper center", fontsize=8, ncols=len(radii))
    return figure
