"""Penalties of the loss's departure from a plane, between points or between gradients."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from curvlab.attacks import Ball, Norm, uniform
from curvlab.calculus import HessianOperator
from curvlab.penalties.shared import (
    Pass,
    Penalty,
    inner,
    length,
    normalized,
    require_count,
    require_one_of,
    require_positive,
    squared,
    top_direction,
)
from curvlab.spectrum import random_like

NORMS = ("l2", "linf")


@dataclass(frozen=True)
class Llr(Penalty):
    """Local linearity regularization: the largest error of the tangent plane (Qin et al., 2019).

    `|loss(x + d) - loss(x) - d'g| + ratio |d'g|` at the d in the ball that maximizes the first
    term, found by `steps` projected steps of ascent from a random start and held fixed. By the
    triangle inequality the two together, at `ratio = 1`, bound the change of the loss at d. The
    weights lambda = 4 and mu = 3 of a public implementation are a strength of 4 at `ratio = 0.75`.
    The ball is not clipped to the pixels' range. A cheap variant compared by Abad Rocamora et al.
    (2024) replaces the maximization by a random pair of points and squares the error.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Llr(epsilon=0.1)(model, x, y).penalty.shape
    torch.Size([3])
    """

    epsilon: float
    norm: Norm = "linf"
    steps: int = 5
    step_size: float | None = None
    ratio: float = 0.75

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_one_of(NORMS, self.norm)
        require_count("steps", self.steps)
        if self.step_size is not None:
            require_positive("step size", self.step_size)
        if not (self.ratio >= 0 and math.isfinite(self.ratio)):
            raise ValueError(f"requires a finite ratio >= 0. Found {self.ratio}.")

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        gradient = shared.gradient(differentiable=True)
        d = self._worst(shared, gradient.detach(), generator)
        linear = inner(gradient, d)
        error = shared.value_at(shared.x + d) - shared.value - linear
        return error.abs() + self.ratio * linear.abs()

    def _worst(self, shared: Pass, g: Tensor, generator: Generator | None) -> Tensor:
        ball = Ball(shared.x, self.epsilon, self.norm, box=None)
        size = 2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size
        point, value = ball.random(generator), shared.value.detach()
        for _ in range(self.steps):
            there = shared.at(point)
            error = there.value.detach() - value - inner(point - ball.center, g)
            # where the plane is exact there is no side to climb; either will do
            side = torch.where(error < 0, -1.0, 1.0).to(g.dtype).view(-1, *[1] * (g.dim() - 1))
            point = ball.step(point, side * (there.gradient(differentiable=False) - g), size)
        return point - ball.center


@dataclass(frozen=True)
class Elle(Penalty):
    """Squared error of the loss's own interpolation (Abad Rocamora et al., 2024).

    For two points a, b uniform in the ball and t uniform in (0, 1): the square of `loss((1 - t) a
    + t b) - (1 - t) loss(a) - t loss(b)`. Three forward passes, no second derivative and not even
    a first: the cheapest probe of curvature. The authors' code, like this, does not clip the
    points to the pixels' range; they add it to single-step adversarial training.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Elle(epsilon=0.1)(model, x, y).penalty.shape
    torch.Size([3])
    """

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_one_of(NORMS, self.norm)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        ball = Ball(shared.x, self.epsilon, self.norm, box=None)
        a, b = ball.random(generator), ball.random(generator)
        t = uniform(shared.value.detach(), generator)
        c = torch.lerp(a, b, t.view(-1, *[1] * (a.dim() - 1)))
        between = torch.lerp(shared.value_at(a), shared.value_at(b), t)
        return (shared.value_at(c) - between).square()


@dataclass(frozen=True)
class GradAlign(Penalty):
    """One minus the cosine of the gradients at x and nearby (Andriushchenko & Flammarion, 2020).

    The nearby point is uniform in the ball. The cosine has no scale: the penalty does not shrink
    with the gradient, and is not defined where one vanishes. There it is 0 here; the authors'
    code drops such examples from the mean, others take 1. Their code holds the clean gradient
    fixed when it trains with FGSM: `detach`. The value is computed as half the squared distance
    of the unit gradients, which keeps its digits near 0.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> bool((GradAlign(epsilon=0.1)(model, x, y).penalty < 1e-6).all())  # two classes, no layers
    True
    """

    epsilon: float
    norm: Norm = "linf"
    detach: bool = True

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_one_of(NORMS, self.norm)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        point = Ball(shared.x, self.epsilon, self.norm, box=None).random(generator)
        here = normalized(shared.gradient(differentiable=not self.detach))
        there = normalized(shared.at(point).gradient(differentiable=True))
        defined = (here.detach() != 0).flatten(1).any(1) & (there.detach() != 0).flatten(1).any(1)
        return torch.where(defined, squared(there - here) / 2, 0)


@dataclass(frozen=True)
class Soar(Penalty):
    """A bound on the quadratic model's maximum by one augmented matrix (after Ma et al., 2020).

    With `A = [[H, g], [g', 1]]` the model's rise over a ball of squared l2 radius r is at most
    `(r + 1) / 2 |A| - 1/2`; r is `epsilon^2`, or `d epsilon^2` for l-infinity. At epsilon = 0 it
    is not 0 but `(|A| - 1) / 2`. The mean of |Az| over Gaussian z does not bound |A|: for rank
    one it is sqrt(2 / pi) of it. It is multiplied here by sqrt(pi / 2), and then it does
    ("gaussian", one draw). "lanczos" takes `steps` products from a random start and gives |A|
    itself from below. The abstract of the paper's second version limits its claim to attacks on
    cross-entropy: compare with other losses.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Soar(epsilon=0.1)(model, x, y).penalty.shape
    torch.Size([3])
    """

    epsilon: float
    norm: Norm = "linf"
    method: Literal["gaussian", "lanczos"] = "gaussian"
    steps: int = 3

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_one_of(NORMS, self.norm)
        require_one_of(("gaussian", "lanczos"), self.method)
        require_count("steps", self.steps)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        augmented = _Augmented(shared.hessian())
        z = random_like(augmented.like, generator)
        factor = math.sqrt(math.pi / 2)
        if self.method == "lanczos":
            z, factor = top_direction(augmented, z, "lanczos", self.steps), 1.0
        radius = self.epsilon**2 * (shared.x[0].numel() if self.norm == "linf" else 1)
        return (radius + 1) / 2 * factor * length(augmented(z, differentiable=True)) - 0.5


class _Augmented:
    """Products with `[[H, g], [g', 1]]`, on `(B, d + 1)`."""

    def __init__(self, hessian: HessianOperator):
        self._hessian, flat = hessian, hessian.gradient.detach().flatten(1)
        self.like = torch.cat([flat, flat[:, :1]], 1)

    def __call__(self, v: Tensor, differentiable: bool = False) -> Tensor:
        g = self._hessian.gradient if differentiable else self._hessian.gradient.detach()
        part, last = v[:, :-1].view_as(g), v[:, -1:]
        image = self._hessian(part, differentiable).flatten(1) + last * g.flatten(1)
        return torch.cat([image, (inner(g, part).unsqueeze(1) + last)], 1)
