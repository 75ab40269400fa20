"""The figures of the chapter on the Hessian norm."""

from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from curvlab.calculus import hessian_operator
from curvlab.figures import style

Loss = Callable[[Tensor], Tensor]


def walks(loss: Loss, x: Tensor, gradient: Tensor, eigenvector: Tensor, reach: float) -> Figure:
    """The loss of one example along its gradient and its top eigenvector, with both models."""
    if len(x) != 1:
        raise ValueError(f"requires one example. Found {len(x)}.")
    steps = torch.linspace(-reach, reach, 121, dtype=x.dtype, device=x.device)
    operator = hessian_operator(loss, x)
    here = operator.gradient.detach()
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, style.HEIGHT), sharey=True)
    titles = "along the gradient", "along the top eigenvector"
    for axis, direction, title in zip(axes, (gradient, eigenvector), titles, strict=True):
        v = direction / direction.norm()
        slope = float((here * v).sum())
        curvature = float((operator(v) * v).sum())
        start = float(operator.value.detach())
        t = steps.view(-1, *[1] * (x.dim() - 1))
        with torch.no_grad():
            true = torch.cat([loss(x + step * v) for step in t])
        linear = start + slope * steps
        axis.plot(steps, true, label="true loss", color=style.INK, linestyle="-")
        axis.plot(steps, linear, label="linear model", color=style.BLUE, linestyle="--")
        quadratic = linear + curvature / 2 * steps**2
        axis.plot(steps, quadratic, label="quadratic model", color=style.ORANGE, linestyle=":")
        axis.set_title(title)
        axis.set_xlabel("distance walked")
        axis.set_ylim(-0.05 * float(true.max()), 1.05 * float(true.max()))
    axes[0].set_ylabel("loss")
    axes[0].legend()
    return figure


def point_and_ball(measured: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Curvature at each image against the largest one found within reach, for several networks."""
    figure, axis = plt.subplots(figsize=(style.WIDTH, 4.2))
    everything = torch.cat([torch.cat(pair) for pair in measured.values()])
    positive = everything[everything > 0]
    ends = float(positive.min()) / 2, float(positive.max()) * 2
    axis.plot(ends, ends, color=style.GRAY, linestyle="--", linewidth=1, label="equal")
    marks = zip(measured.items(), style.MARKERS, style.PALETTE, strict=False)
    for (name, (point, ball)), marker, color in marks:
        axis.plot(
            point, ball, marker, color=color, label=name, alpha=0.75, markersize=4, linestyle=""
        )
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axis.set_xlabel("Hessian norm at the image")
    axis.set_ylabel("largest found within reach")
    axis.legend()
    return figure
