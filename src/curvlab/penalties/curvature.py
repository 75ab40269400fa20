"""Penalties of the loss's input Hessian: its operator norm, and curvature by difference."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from curvlab.calculus import HessianOperator, gauss_newton_root
from curvlab.penalties.shared import (
    Pass,
    Penalty,
    length,
    require_count,
    require_one_of,
    require_positive,
    squared,
    top_direction,
)
from curvlab.spectrum import random_like, unit

Method = Literal["lanczos", "power", "ascent", "gram"]


@dataclass(frozen=True)
class HessianNorm(Penalty):
    """The operator norm of the input Hessian (Mustafa et al., 2020), or its square.

    A unit direction v is found and held fixed; `|Hv|`, at most the norm and equal to it at the
    top eigenvector, is then differentiated in the weights. `|Hv|` and not `|v'Hv|`: where the
    eigenvalues a and -a are both largest, power iteration finds a mixture for which only the
    first is right. Methods for v:

    - "lanczos": `steps` Lanczos products, the idea of Cui et al. (2022), whose published code does
      not reorthogonalize.
    - "power": `steps` products of power iteration.
    - "ascent": `steps` steps of normalized gradient ascent on `|Hv|` with the step size `rate`,
      two products each, as Mustafa et al. do. It is power iteration on the square of H plus
      `|Hv| / rate` times the identity, so it is never faster, and stalls where `rate` is small
      beside `1 / |H|`. The rate 9 |H| of Cui et al. has the wrong unit.
    - "gram": exact for cross-entropy on piecewise-linear networks off their kinks, where
      `H = J'(diag(p) - pp')J` has rank below C: all C rows of J and one small eigenproblem. For
      other networks v is the Gauss-Newton part's top eigenvector.

    The start is the input gradient, which the shared graph already holds, or "random". A
    direction off by an angle t misses the norm by O(t^2) and its derivative by O(t); a random
    start averages the second over the steps of training, the gradient does not.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> model.weight.data = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    >>> x, y = torch.zeros(1, 2), torch.tensor([0])
    >>> HessianNorm(steps=1)(model, x, y).penalty.detach()  # p (1 - p) |w|^2 = 16 / 4
    tensor([4.])
    """

    method: Method = "lanczos"
    steps: int = 3
    squared: bool = False
    start: Literal["gradient", "random"] = "gradient"
    rate: float = 1.0

    def __post_init__(self) -> None:
        require_one_of(("lanczos", "power", "ascent", "gram"), self.method)
        require_one_of(("gradient", "random"), self.start)
        require_count("steps", self.steps)
        require_positive("rate", self.rate)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        return self.norm(shared, shared.hessian(), generator)

    def norm(self, shared: Pass, hessian: HessianOperator, generator: Generator | None) -> Tensor:
        """The norm from a Hessian that is already there."""
        v = self._direction(shared, hessian, generator)
        image = hessian(v, differentiable=True)
        return squared(image) if self.squared else length(image)

    def _direction(
        self, shared: Pass, hessian: HessianOperator, generator: Generator | None
    ) -> Tensor:
        if self.method == "gram":
            root = gauss_newton_root(shared.jacobian("logits"))
            top = torch.linalg.eigh(root @ root.mT).eigenvectors[:, :, -1:]
            return unit((root.mT @ top).view(shared.x.shape))
        start = hessian.gradient.detach()
        if self.start == "random":
            start = random_like(start, generator)
        if self.method != "ascent":
            return top_direction(hessian, start, self.method, self.steps)
        v = unit(start)
        for _ in range(self.steps):
            # the derivative of |Hv| in v is H Hv / |Hv|
            v = unit(v + self.rate * hessian(unit(hessian(v))))
        return v


@dataclass(frozen=True)
class SecondOrderModel(Penalty):
    """`epsilon |g| + epsilon^2 / 2 |H|`: the second-order model of the worst loss in an l2 ball.

    With H at the point itself this bounds the worst case of the quadratic model, not of the
    network: a bound on the loss needs the supremum of |H| over the whole ball.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> model.weight.data = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    >>> x, y = torch.zeros(1, 2), torch.tensor([0])
    >>> SecondOrderModel(epsilon=0.5)(model, x, y).penalty.detach()  # 0.5 * 2 + 0.125 * 4
    tensor([1.5000])
    """

    epsilon: float
    curvature: HessianNorm = HessianNorm()

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        if self.curvature.squared:
            raise ValueError("requires the Hessian norm itself. Found its square.")

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        hessian = shared.hessian()
        curvature = self.curvature.norm(shared, hessian, generator)
        return self.epsilon * length(hessian.gradient) + self.epsilon**2 / 2 * curvature


@dataclass(frozen=True)
class Cure(Penalty):
    """Curvature as the change of the input gradient over a step (Moosavi-Dezfooli et al., 2019).

    The penalty is `|g(x + step z) - g(x)|` or its square, not divided by the step, for a detached
    z. Published variants differ in every detail; each is a choice of fields here:

    - the paper: squared, z the unit vector of the gradient's signs ("sign");
    - a public implementation: `squared=False, step=3`, eval mode, and a strength that shrinks
      with the batch because its loss is a mean;
    - Abad Rocamora et al. (2024) compare with the squared change at the l-infinity corner x +
      step sign(g) ("corner") and hold the clean gradient fixed: `detach=True`, which is cheaper;
    - others take z along the gradient itself ("gradient").

    Across a rectifier's kink the change does not shrink with the step, so on such networks the
    step decides how much of the penalty is kinks.

    >>> model = torch.nn.Linear(2, 2)
    >>> x, y = torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Cure(step=1.5)(model, x, y).penalty.shape
    torch.Size([3])
    """

    step: float = 1.5
    squared: bool = True
    direction: Literal["sign", "corner", "gradient"] = "sign"
    detach: bool = False

    def __post_init__(self) -> None:
        require_positive("step", self.step)
        require_one_of(("sign", "corner", "gradient"), self.direction)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        here = shared.gradient(differentiable=not self.detach)
        z = here.detach() if self.direction == "gradient" else here.detach().sign()
        if self.direction != "corner":
            z = unit(z)
        change = shared.at(shared.x + self.step * z).gradient(differentiable=True) - here
        return squared(change) if self.squared else length(change)
