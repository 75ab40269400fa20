"""Penalties of the input Jacobian of a classifier's logits or probabilities."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from curvlab.calculus import JacobianOperator
from curvlab.penalties.shared import (
    Law,
    Output,
    Pass,
    Penalty,
    length,
    probe,
    require_count,
    require_one_of,
    squared,
    top_direction,
)
from curvlab.spectrum import random_like, unit

OUTPUTS = ("logits", "probabilities")
LAWS = ("gaussian", "rademacher", "sphere")


@dataclass(frozen=True)
class JacobianFrobenius(Penalty):
    """The squared Frobenius norm of the Jacobian: exact, or its unbiased estimate from probes.

    `probes=None` takes all C rows. Otherwise the mean of `|J'z|^2` over random z with E zz' = I,
    one backward pass each. With A = JJ' one probe has the variance `2 |A|^2` ("gaussian"), `2
    (|A|^2 - sum a_ii^2)` ("rademacher"), `2 (C |A|^2 - tr(A)^2) / (C + 2)` ("sphere", Hoffman et
    al., 2019; their docstring and code disagree on its radius: here it is sqrt(C), which makes the
    mean right). Their factor 1/2 belongs to the strength.

    Jakubovitz & Giryes (2018) penalize the norm itself (`squared=False`; biased low from probes);
    their published code takes the logits of the first example of each batch alone. `centered`
    subtracts the mean row. Nothing that cross-entropy computes depends on that row.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.tensor([0])
    >>> model.weight.data = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    >>> JacobianFrobenius(probes=None)(model, x, y).penalty.detach()
    tensor([10.])
    >>> JacobianFrobenius(probes=None, centered=True)(model, x, y).penalty.detach()
    tensor([2.])
    """

    probes: int | None = 1
    law: Law = "sphere"
    of: Output = "logits"
    centered: bool = False
    squared: bool = True

    def __post_init__(self) -> None:
        require_one_of(LAWS, self.law)
        require_one_of(OUTPUTS, self.of)
        if self.probes is not None:
            require_count("probes", self.probes)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        jacobian = shared.jacobian(self.of)
        if self.probes is None:
            rows = jacobian.matrix(differentiable=True)
            rows = _centered(rows) if self.centered else rows
        else:
            probes = [self._probe(jacobian.output, generator) for _ in range(self.probes)]
            pulled = [jacobian.transpose(z, differentiable=True) for z in probes]
            rows = torch.stack(pulled, 1) / math.sqrt(self.probes)
        return squared(rows) if self.squared else length(rows)

    def _probe(self, output: Tensor, generator: Generator | None) -> Tensor:
        if not self.centered:
            return probe(output, self.law, generator)
        if self.law != "sphere":
            return _centered(probe(output, self.law, generator))
        # uniform on the sphere of the centered subspace, of dimension C - 1
        return unit(_centered(random_like(output, generator))) * math.sqrt(output.shape[1] - 1)


@dataclass(frozen=True)
class CrossLipschitz(Penalty):
    """The mean squared distance of the classes' gradients (Hein & Andriushchenko, 2017).

    `sum_lm |grad f_l - grad f_m|^2 / C^2`, which is `2 / C` times the squared Frobenius norm of
    the centered Jacobian: exactly (`probes=None`, C backward passes), or without bias from one
    centered probe on the sphere, at a seventh of the price for ten classes.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.tensor([0])
    >>> model.weight.data = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    >>> CrossLipschitz(probes=None)(model, x, y).penalty.detach()  # (0 + 4 + 4 + 0) / 4
    tensor([2.])
    """

    probes: int | None = 1

    def __post_init__(self) -> None:
        JacobianFrobenius(self.probes)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        total = JacobianFrobenius(self.probes, centered=True).measure(shared, generator)
        return 2 / shared.logits.shape[1] * total


@dataclass(frozen=True)
class JacobianSpectral(Penalty):
    """The squared largest singular value of the Jacobian, or the value itself.

    The iteration runs on JJ' in the space of the C outputs (`steps` products, each one backward
    pass and the derivative of one) from a random start; the left singular vector u is held fixed
    and `|J'u|` is differentiated. "lanczos" is exact after C steps (the published code of Cui et
    al., 2022, runs 16 for ten classes, without reorthogonalization), "power" is what Johansson et
    al. (2022) use, "gram" computes all C rows and is exact.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.tensor([0])
    >>> model.weight.data = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> JacobianSpectral(method="gram")(model, x, y).penalty.detach()
    tensor([9.])
    """

    method: Literal["lanczos", "power", "gram"] = "lanczos"
    steps: int = 3
    of: Output = "logits"
    centered: bool = False
    squared: bool = True

    def __post_init__(self) -> None:
        require_one_of(("lanczos", "power", "gram"), self.method)
        require_one_of(OUTPUTS, self.of)
        require_count("steps", self.steps)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        jacobian = shared.jacobian(self.of)
        center = _centered if self.centered else _unchanged
        u = center(self._direction(jacobian, center, generator))
        pulled = jacobian.transpose(u, differentiable=True)
        return squared(pulled) if self.squared else length(pulled)

    def _direction(
        self,
        jacobian: JacobianOperator,
        center: Callable[[Tensor], Tensor],
        generator: Generator | None,
    ) -> Tensor:
        if self.method == "gram":
            rows = center(jacobian.matrix()).flatten(2)
            u: Tensor = torch.linalg.eigh(rows @ rows.mT).eigenvectors[:, :, -1]
            return u
        start = center(random_like(jacobian.output, generator))
        return top_direction(
            lambda u: center(jacobian.apply(jacobian.transpose(center(u)))),
            start,
            self.method,
            self.steps,
        )


@dataclass(frozen=True)
class JacobianEntrywise(Penalty):
    """The sum of the absolute entries of the Jacobian (Wu & Li, 2024).

    To first order `(1 - p_y)` times it bounds the rise of cross-entropy within the unit
    l-infinity ball. `probes=None` takes all C rows. A dense random combination of rows gives no
    unbiased estimate, a random row does: `probes` rows drawn with replacement for each example,
    of variance `C sum_k |row k|_1^2 - (sum_k |row k|_1)^2` each.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.tensor([0])
    >>> model.weight.data = torch.tensor([[3.0, -1.0], [0.0, 1.0]])
    >>> JacobianEntrywise()(model, x, y).penalty.detach()
    tensor([5.])
    """

    probes: int | None = None
    of: Output = "logits"

    def __post_init__(self) -> None:
        require_one_of(OUTPUTS, self.of)
        if self.probes is not None:
            require_count("probes", self.probes)

    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        jacobian = shared.jacobian(self.of)
        if self.probes is None:
            return jacobian.matrix(differentiable=True).abs().flatten(1).sum(1)
        total, classes = torch.zeros_like(shared.value), jacobian.output.shape[1]
        for _ in range(self.probes):
            # the largest of C independent normals is any of them with equal chance
            row = random_like(jacobian.output, generator).argmax(1)
            u = torch.nn.functional.one_hot(row, classes).to(jacobian.output.dtype)
            pulled = jacobian.transpose(u, differentiable=True)
            total = total + classes / self.probes * pulled.abs().flatten(1).sum(1)
        return total


def _centered(u: Tensor) -> Tensor:
    return u - u.mean(1, keepdim=True)


def _unchanged(u: Tensor) -> Tensor:
    return u
