"""Figures of spectra: ties, polynomials, staircases of eigenvalues, races between methods."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from torch import Tensor, nn

from curvlab.calculus import hessian_operator
from curvlab.figures import style
from curvlab.losses import margin_cross_entropy
from curvlab.spectrum import spectral_density

FLOOR = 1e-15


def tie(answers: Tensor) -> Figure:
    """Power iteration's answers under a tie of 1 and -1, and the arcsine law."""
    figure, ax = plt.subplots(figsize=(style.WIDTH, 2.6))
    ax.hist(answers, bins=50, range=(-1, 1), density=True, color=style.BLUE, alpha=0.5)
    t = torch.linspace(-0.995, 0.995, 400)
    law = 1 / (math.pi * (1 - t**2).sqrt())
    ax.plot(t, law, "-", color=style.INK, label="arcsine law")
    ax.set(xlabel="answer", ylabel="density", ylim=(0, 3))
    ax.legend(loc="upper center")
    return figure


def chebyshev(degree: int, z: Tensor) -> Tensor:
    """Chebyshev's polynomial for arguments of at least -1.

    >>> chebyshev(2, torch.tensor([-1.0, 0.0, 2.0]))
    tensor([ 1.0000, -1.0000,  7.0000])
    """
    if not bool((z >= -1).all()):
        raise ValueError(f"requires arguments of at least -1. Found {float(z.min())}.")
    inside = torch.cos(degree * torch.arccos(z.clamp(-1, 1)))
    return torch.where(z > 1, torch.cosh(degree * torch.arccosh(z.clamp(1))), inside)


def polynomials(eigenvalues: Tensor, other_ritz: Tensor) -> Figure:
    """What three methods make of a spectrum, given all Ritz values of Lanczos but the largest."""
    values = eigenvalues.sort().values
    low, second, high = (float(values[i]) for i in (0, -2, -1))
    t = torch.cat([torch.linspace(low, high, 2000), values[-1:]])
    degree = len(other_ritz)
    waves = chebyshev(degree, ((2 * t - second - low) / (second - low)).clamp(-1))
    curves = {
        "power iteration": (t / high) ** degree,
        "Chebyshev": waves / waves[-1],
        "Lanczos": torch.stack([(t - o) / (high - o) for o in other_ritz]).prod(0),
    }
    figure, ax = plt.subplots()
    looks = ((style.GRAY, ":", 1.5), (style.ORANGE, "--", 1.3), (style.BLUE, "-", 2.2))
    for (name, curve), (color, line, width) in zip(curves.items(), looks, strict=True):
        ax.semilogy(t, curve**2 + 1e-18, ls=line, lw=width, color=color, marker="", label=name)
    ax.plot(values, torch.full_like(values, 4e-14), "|", color=style.INK, ms=10)
    ax.set(xlabel="eigenvalue", ylabel="squared polynomial", ylim=(1e-14, 10))
    ax.legend(loc="lower right")
    return figure


def count_above(nodes: Tensor, mass: Tensor, thresholds: Tensor) -> Tensor:
    """The mass of the nodes above each threshold: eigenvalues, or a weighted estimate of them.

    >>> count_above(torch.tensor([1.0, 2.0, 3.0]), torch.ones(3), torch.tensor([0.0, 2.5]))
    tensor([3., 1.])
    """
    if nodes.shape != mass.shape or nodes.dim() != 1:
        found = f"{tuple(nodes.shape)} and {tuple(mass.shape)}"
        raise ValueError(f"requires nodes and mass of one shape (N,). Found {found}.")
    return ((nodes > thresholds.unsqueeze(1)) * mass).sum(1)


def stairs(ax: Axes, nodes: Tensor, mass: Tensor, label: str, line: str, color: str) -> None:
    """`count_above` from the largest node down to 1e-4 of it, on logarithmic axes."""
    low = 1e-4 * float(nodes.abs().max())
    across = torch.logspace(math.log10(low), math.log10(max(float(nodes.max()), low)), 400)
    count = count_above(nodes, mass, across.to(nodes) * (1 - 1e-5))
    ax.plot(across, count, ls=line, marker="", color=color, label=label)
    ax.set(xscale="log", yscale="log", xlabel="threshold")


def density(exact: Tensor, nodes: Tensor, mass: Tensor) -> Figure:
    """Eigenvalues beyond each threshold, counted and estimated; positive and negative apart."""
    figure, panels = plt.subplots(1, 2, sharey=True)
    for ax, sign, title in zip(panels, (1, -1), ("positive", "negative, by size"), strict=True):
        stairs(ax, sign * exact, torch.ones_like(exact), "exact", "-", style.INK)
        stairs(ax, sign * nodes, mass, "estimated", "--", style.ORANGE)
        ax.set(title=title, ylim=(0.7, None), yticks=(1, 2, 5, 10))
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("eigenvalues beyond it")
    panels[0].legend()
    return figure


def mean_density(
    model: nn.Module, x: Tensor, y: Tensor, title: str, device: torch.device, steps: int = 20
) -> Figure:
    """The staircase of the input Hessian, mean over a batch, from one probe for each example."""
    model, x, y = model.to(device), x.to(device), y.to(device)
    operator = hessian_operator(lambda b: margin_cross_entropy(model(b), y), x)
    found = spectral_density(operator, x, 1, steps, torch.Generator().manual_seed(0))
    nodes = found.nodes.flatten().cpu()
    mass = found.weights.flatten().cpu() * (x[0].numel() / len(x))
    figure, ax = plt.subplots(figsize=(6.4, 3.2))
    stairs(ax, nodes, mass, "positive", "-", style.BLUE)
    stairs(ax, -nodes, mass, "negative, by size", "--", style.ORANGE)
    ax.set(title=title, xlim=(1e-3, 50), ylim=(0.02, 400), ylabel="eigenvalues beyond it, mean")
    ax.legend(loc="upper right")
    return figure


def gradient_errors(products: Tensor, value: Tensor, gradient: Tensor) -> Figure:
    """Errors of eigenvalue and weight gradient, one mark for each number of products."""
    figure, ax = plt.subplots()
    counts = sorted({float(k) for k in products})
    shades = plt.get_cmap(style.SEQUENTIAL)
    for i, (k, mark) in enumerate(zip(counts, "osD^vPX*", strict=False)):
        at = products == k
        color = shades(0.9 * i / max(len(counts) - 1, 1))
        label = f"{int(k)} products"
        ax.loglog(value[at], gradient[at], mark, ls="", color=color, label=label)
    t = torch.logspace(-12, 0, 20)
    ax.loglog(t, t.sqrt(), "-", marker="", color=style.INK, lw=1, label="slope ½")
    ax.set(xlabel="relative error of the eigenvalue", ylabel="of its weight gradient")
    ax.legend(fontsize=8)
    return figure


def race(
    values: Mapping[str, Sequence[float]],
    traces: Mapping[str, Sequence[float]],
    spent: Sequence[int],
) -> Figure:
    """Errors against products: of the top eigenvalue from one product up, and of the trace."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(style.WIDTH, 3.8))
    for name, errors in values.items():
        left.semilogy(range(1, len(errors) + 1), [max(e, FLOOR) for e in errors], ms=3, label=name)
    for name, errors in traces.items():
        right.semilogy(spent, [max(e, FLOOR) for e in errors], ms=3, label=name)
    left.set(xlabel="products", title="relative error of the top eigenvalue")
    right.set(xlabel="products", title="rms relative error of the trace")
    for ax in (left, right):
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure
