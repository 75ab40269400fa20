"""The figures of the chapter on the calculus of a classifier."""

from copy import deepcopy
from functools import cache

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab import data
from curvlab.calculus import hessian_operator, jacobian_operator
from curvlab.figures import style
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP

MOMENTS = (0, 5, 20, 60, 120)


def newton_share(tail: nn.Module, a: Tensor, y: Tensor) -> Tensor:
    """`|J'SJ| / (|J'SJ| + |R|)` of each example, for the loss as a function of `a`, `(B, n)`.

    >>> newton_share(nn.Identity(), torch.zeros(1, 3), torch.tensor([0]))  # no layer, no residual
    tensor([1.])
    """
    if a.dim() != 2:
        raise ValueError(f"requires flat activations (B, n). Found {tuple(a.shape)}.")
    operator = hessian_operator(lambda z: margin_cross_entropy(tail(z), y), a)
    basis = torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    hessian = torch.stack([operator(e.expand_as(a)) for e in basis], 2)
    jacobian = jacobian_operator(tail, a)
    p = jacobian.output.detach().softmax(1)
    spread = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    rows = jacobian.matrix().detach()
    newton = rows.mT @ spread @ rows
    first, rest = (torch.linalg.matrix_norm(part, 2) for part in (newton, hessian - newton))
    # what is left of a residual that vanishes is rounding
    return torch.where(rest > 1e-6 * first, first / (first + rest), 1.0)


@cache
def _snapshots(activation: str, device: torch.device) -> list[nn.Module]:
    """A network with two hidden layers at the moments of 120 full-batch steps on the digits."""
    x, y = data.load("digits", "train")
    x, y = x.to(device).double(), y.to(device)
    torch.manual_seed(0)
    model = MLP((64, 32, 32, 10), activation).double().to(device)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    kept: list[nn.Module] = []
    for step in range(MOMENTS[-1] + 1):
        if step in MOMENTS:
            kept.append(deepcopy(model))
        adam.zero_grad()
        torch.autograd.backward(margin_cross_entropy(model(x), y).mean())
        adam.step()
    return kept


def share_lab(moment: float, activation: str, device: torch.device) -> Figure:
    """The share of Gauss-Newton in the Hessian with respect to what enters each layer."""
    model = _snapshots(activation, device)[int(moment)]
    a, y = (part[:40].to(device) for part in data.load("digits", "test"))
    a = a.double().flatten(1)
    layers = list(model.children())
    names = ["input", "first hidden", "second hidden", "logits"]
    starts = [0, *(i + 1 for i, part in enumerate(layers) if i and not isinstance(part, nn.Linear))]
    figure, axis = plt.subplots(figsize=(5.4, 3))
    shares = []
    for begin, end in zip([*starts, len(layers)], [*starts[1:], len(layers), None], strict=True):
        tail = nn.Sequential(*layers[begin:]) if begin < len(layers) else nn.Identity()
        shares.append(newton_share(tail, a, y).cpu())
        with torch.no_grad():
            a = nn.Sequential(*layers[begin:end])(a)
    middle = [float(share.median()) for share in shares]
    low = [m - float(share.quantile(0.1)) for m, share in zip(middle, shares, strict=True)]
    high = [float(share.quantile(0.9)) - m for m, share in zip(middle, shares, strict=True)]
    axis.bar(names, middle, color=style.BLUE, alpha=0.6)
    axis.errorbar(names, middle, (low, high), color=style.INK, linestyle="", marker="", capsize=4)
    axis.set(ylim=(0, 1.05), ylabel="share of Gauss-Newton")
    axis.set_title(f"{activation}, after {MOMENTS[int(moment)]} steps", fontsize=10)
    return figure
