"""Penalties that are the worst case of the quadratic model of the loss within a ball."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from curvlab.attacks import Norm, steepest
from curvlab.penalties.shared import (
    Pass,
    Penalty,
    inner,
    require_count,
    require_one_of,
    require_positive,
)
from curvlab.spectrum import Operator, lanczos, ritz
from curvlab.trust_region import trust_region


@dataclass(frozen=True)
class Scorpio(Penalty):
    """`g'd + d'Hd/2` at a d found by an iterative scheme (Tsiligkaridis & Roberts, 2020).

    The scheme is Frank-Wolfe: `steps` full steps, each to the point of the ball farthest along
    `g + Hd`, from d = 0. The first needs no product and is the gradient's own adversary. Where H
    is positive semidefinite (cross-entropy on piecewise-linear networks) no step goes down,
    though it can end at a poor corner of the l-infinity ball; where it is not, the steps may
    cycle, and the last one is taken.

    The authors published no training code, and the step rule here is a choice. `difference=None`
    takes exact products; a number h takes `(grad(x + h d) - grad(x)) / h`, without second
    derivatives in the inner steps, and at h = 1 the gradient at the attacked point itself.

    >>> model, x, y = torch.nn.Linear(2, 2, bias=False), torch.zeros(1, 2), torch.tensor([0])
    >>> model.weight.data = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    >>> Scorpio(epsilon=0.5)(model, x, y).penalty.detach()  # 0.5 * 2 + 0.125 * 4
    tensor([1.5000])
    """

    epsilon: float
    steps: int = 3
    norm: Norm = "l2"
    difference: float | None = None

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_count("steps", self.steps)
        require_one_of(("l2", "linf"), self.norm)
        if self.difference is not None:
            require_positive("difference", self.difference)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        gradient, product = self._derivatives(shared)
        g = gradient.detach()
        d = self.epsilon * steepest(g, self.norm)
        for _ in range(self.steps - 1):
            d = self.epsilon * steepest(g + product(d, False), self.norm)
        return inner(gradient, d) + inner(product(d, True), d) / 2

    def _derivatives(self, shared: Pass) -> tuple[Tensor, Callable[[Tensor, bool], Tensor]]:
        h = self.difference
        if h is None:
            hessian = shared.hessian()
            return hessian.gradient, hessian
        gradient = shared.gradient(differentiable=True)

        def product(d: Tensor, differentiable: bool) -> Tensor:
            there = shared.at(shared.x + h * d).gradient(differentiable)
            return (there - (gradient if differentiable else gradient.detach())) / h

        return gradient, product


@dataclass(frozen=True)
class KrylovAdversary(Penalty):
    """`g'd + d'Hd/2` at its exact maximum in the Krylov space of (H, g) within a ball.

    `steps` Lanczos products from g give H as a small tridiagonal matrix, on which the l2 problem
    is solved exactly (the idea of GLTR, Gould et al., 1999); d is held fixed and one
    differentiable product follows. There is no step size and no direction to choose. One step is
    the gradient penalty with the curvature along the gradient; more steps raise the value towards
    the exact maximum and reach it when the space is exhausted, unless g misses the top
    eigenvectors of H, which no product with g then shows. For large `epsilon` it tends to
    `epsilon^2 / 2` times the largest eigenvalue that the space shows, if that is positive. Where
    g = 0 the space grows from a fixed random direction.

    Qian et al. (2022) train on second-order adversarial examples from a Krylov space by GMRES,
    for non-symmetric matrices: the Hessian is symmetric, and short recurrences suffice.

    For "linf" the l2 solution in the ball around the box, of radius `epsilon sqrt(d)`, is clipped
    to the box and starts `corners` Frank-Wolfe steps, one product each, on H + s with -s its
    smallest Ritz value below 0: no two corners change their order, and no step between corners
    goes down once H + s is semidefinite. It is a lower bound: the exact maximum over a box is a
    combinatorial problem.

    >>> model, x, y = torch.nn.Linear(2, 2, bias=False), torch.zeros(1, 2), torch.tensor([0])
    >>> model.weight.data = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    >>> KrylovAdversary(epsilon=0.5, steps=1)(model, x, y).penalty.detach()  # 0.5 * 2 + 0.125 * 4
    tensor([1.5000])
    """

    epsilon: float
    steps: int = 3
    norm: Norm = "l2"
    corners: int = 1

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_count("steps", self.steps)
        require_one_of(("l2", "linf"), self.norm)
        require_count("corners", self.corners)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        hessian = shared.hessian()
        g = hessian.gradient.detach()
        if self.norm == "l2":
            d = krylov_step(hessian, g, self.epsilon, self.steps).vector
        else:
            around = krylov_step(hessian, g, self.epsilon * math.sqrt(g[0].numel()), self.steps)
            shift = (-around.lowest).clamp(min=0).view(-1, *[1] * (g.dim() - 1))
            d = around.vector.clamp(-self.epsilon, self.epsilon)
            for _ in range(self.corners):
                d = self.epsilon * steepest(g + hessian(d) + shift * d, "linf")
        return inner(hessian.gradient, d) + inner(hessian(d, differentiable=True), d) / 2


class KrylovStep(NamedTuple):
    """The maximizer of a quadratic over a ball in a Krylov space, and what the space shows of H."""

    vector: Tensor  # (B, *shape)
    lowest: Tensor  # (B,), the smallest Ritz value


def krylov_step(operator: Operator, g: Tensor, epsilon: float, steps: int) -> KrylovStep:
    """Maximizes `g'd + d'Hd/2` over `|d| <= epsilon` in the Krylov space of (H, g).

    >>> scale = torch.tensor([[2.0, 1.0]])
    >>> krylov_step(lambda v: scale * v, torch.tensor([[3.0, 0.0]]), epsilon=2.0, steps=1)
    KrylovStep(vector=tensor([[2., 0.]]), lowest=tensor([2.]))
    """
    krylov = lanczos(operator, g, steps)
    small = ritz(krylov)
    # g is |g| times the first basis vector; float64, because the squares of a confident
    # example's gradient underflow
    size = torch.linalg.vector_norm(g.flatten(1).double(), dim=1, keepdim=True)
    step = trust_region(small.values.double(), size * small.coordinates[:, 0], epsilon).step
    inside = torch.einsum("bij,bj->bi", small.coordinates, step.to(g.dtype))
    return KrylovStep(torch.einsum("bi,bi...->b...", inside, krylov.basis), small.values[:, 0])
