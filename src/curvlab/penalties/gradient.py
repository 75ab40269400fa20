"""Penalties of the loss's input gradient."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from curvlab.penalties.shared import Pass, Penalty, length, require_one_of, require_positive
from curvlab.spectrum import unit

GradientNorm = Literal["l1", "l2", "linf"]
ORDERS = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}


@dataclass(frozen=True)
class InputGradient(Penalty):
    """The norm of the input gradient, or its square (Drucker & LeCun, 1992).

    The worst first-order change within an l2 ball is the l2 norm times the radius, within an
    l-infinity ball the l1 norm, within an l1 ball the l-infinity norm. Ross & Doshi-Velez (2018)
    penalize the squared l2 norm, Rodríguez-Muñoz et al. (2024) the l1 norm. A square forgets
    confident examples faster: like (1 - p)^2 instead of 1 - p. Where published code takes the
    gradient of the batch's mean loss, its strength depends on the batch size; here it does not.

    >>> model = torch.nn.Linear(2, 2)
    >>> model.weight.data = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    >>> x, y = torch.zeros(1, 2), torch.tensor([0])
    >>> model.bias.data = torch.zeros(2)  # p = 1/2: the gradient is (-3/2, -2)
    >>> InputGradient(squared=False)(model, x, y).penalty.detach()
    tensor([2.5000])
    """

    norm: GradientNorm = "l2"
    squared: bool = True

    def __post_init__(self) -> None:
        require_one_of(ORDERS, self.norm)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        gradient = shared.gradient(differentiable=True).flatten(1)
        if self.norm == "l2" and self.squared:
            return gradient.square().sum(1)
        size: Tensor = torch.linalg.vector_norm(gradient, ORDERS[self.norm], dim=1)
        return size.square() if self.squared else size


@dataclass(frozen=True)
class GradientFiniteDifference(Penalty):
    """The gradient's norm as the slope to a point `step` away (Finlay & Oberman, 2019).

    The point lies along the detached unit gradient (l2), its signs (l1) or its largest entry
    (linf), so no second derivative is needed. `step` is the distance in l2 for each norm, and
    the slope is scaled to estimate the norm itself: the published code leaves the l1 estimate
    smaller by sqrt(d). The slope is |g| + step/2 g'Hg/|g|^2 + ...: signed curvature along the
    gradient is penalized with it, so negative curvature is rewarded.

    >>> model = torch.nn.Linear(2, 2)
    >>> x, y = torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> exact = InputGradient()(model, x, y).penalty
    >>> close = GradientFiniteDifference(step=1e-2)(model, x, y).penalty
    >>> torch.allclose(exact, close, rtol=0.05)
    True
    """

    step: float = 1e-2
    norm: GradientNorm = "l2"
    squared: bool = True

    def __post_init__(self) -> None:
        require_one_of(ORDERS, self.norm)
        require_positive("step", self.step)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        gradient = shared.gradient(differentiable=False)
        flat = gradient.flatten(1)
        if self.norm == "l2":
            direction = unit(flat)
        elif self.norm == "l1":
            direction = flat.sign()
        else:
            largest = flat.abs().argmax(1, keepdim=True)
            direction = torch.zeros_like(flat).scatter(1, largest, flat.gather(1, largest).sign())
        size = length(direction).clamp_min(1)
        moved = shared.x + (self.step * direction / size.unsqueeze(1)).view_as(gradient)
        slope = (shared.value_at(moved) - shared.value) * size / self.step
        return slope.square() if self.squared else slope
