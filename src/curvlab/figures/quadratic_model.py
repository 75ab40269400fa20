"""The figures of the chapter on the quadratic model."""

from collections.abc import Mapping, Sequence
from functools import cache, partial

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor, nn

from curvlab import data, zoo
from curvlab.calculus import hessian_operator
from curvlab.figures import style
from curvlab.losses import margin_cross_entropy
from curvlab.spectrum import top_eigenpair


def distances(table: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Predicted distance, with its interval, against an attack's, one panel a network.

    Each entry holds the interval's ends, the quadratic model's distance and the attack's.
    """
    columns = (len(table) + 1) // 2
    size = style.WIDTH, 5.4
    figure, grid = plt.subplots(2, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    ends = [bound for parts in table.values() for part in parts for bound in part[part > 0]]
    low, high = float(min(ends)) / 1.3, float(max(ends)) * 1.3
    looks = zip(grid.flat, table.items(), style.PALETTE, style.MARKERS, strict=False)
    for panel, (name, (lower, upper, model, attack)), color, marker in looks:
        panel.plot((low, high), (low, high), color=style.GRAY, linestyle="--", linewidth=1)
        panel.hlines(attack, lower, upper, color=color, alpha=0.35, linewidth=1.5)
        panel.plot(model, attack, marker, color=color, markersize=4, linestyle="")
        panel.set(title=name, xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    for panel in grid[-1]:
        panel.set_xlabel("quadratic model's distance")
    for panel in grid[:, 0]:
        panel.set_ylabel("attack's distance")
    return figure


@cache
def _network(name: str, device: torch.device) -> nn.Module:
    return zoo.load(f"mnist/small/softplus/{name}").to(device)


def _loss(model: nn.Module, label: Tensor, x: Tensor) -> Tensor:
    return margin_cross_entropy(model(x), label.expand(len(x)))


def walk_lab(image: float, network: str, device: torch.device) -> Figure:
    """The loss of the plain network and of another along gradient and top eigenvector."""
    x, y = data.load("mnist", "test")
    dtype = next(_network(network, device).parameters()).dtype
    here, label = x[int(image)][None].to(device, dtype), y[int(image)][None].to(device)
    steps = torch.linspace(-3, 3, 81, dtype=here.dtype, device=device)
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDTH, style.HEIGHT), sharey=True)
    looks = zip(("plain", network), style.PALETTE, style.LINE_STYLES, strict=False)
    for name, color, dashes in looks:
        model = _network(name, device)
        operator = hessian_operator(partial(_loss, model, label), here)
        gradient = operator.gradient.detach()
        top = top_eigenpair(operator, gradient, steps=8).vector
        for panel, direction in zip(panels, (gradient, top), strict=True):
            v = direction / direction.norm()
            points = here + steps.view(-1, 1, 1, 1) * v
            with torch.no_grad():
                loss = _loss(model, label, points).cpu()
            slope, bend = float((gradient * v).sum()), float((operator(v) * v).sum())
            model_loss = float(operator.value.detach()) + slope * steps + bend / 2 * steps**2
            panel.plot(steps.cpu(), loss, color=color, linestyle=dashes, label=name)
            panel.plot(steps.cpu(), model_loss.cpu(), color=color, linestyle=":", linewidth=1.2)
    panels[0].set(title=f"digit {int(label)}, along the gradient", ylabel="loss", ylim=(-0.5, 12))
    panels[1].set(title="along the top eigenvector")
    for panel in panels:
        panel.set_xlabel("distance (dotted: quadratic model)")
    panels[0].legend()
    return figure
