"""What all penalties share: one forward pass, and a direction that is found and then held."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from curvlab.calculus import Field, HessianOperator, JacobianOperator, leaf, per_example
from curvlab.losses import check_labels, margin_cross_entropy
from curvlab.spectrum import Operator, random_like, top_eigenpair, unit

ClassifierLoss = Callable[[Tensor, Tensor], Tensor]
Output = Literal["logits", "probabilities"]
Law = Literal["gaussian", "rademacher", "sphere"]


class Terms(NamedTuple):
    """What a training step minimizes: the mean of `loss + strength * penalty`."""

    loss: Tensor  # (B,)
    penalty: Tensor  # (B,)


class Pass:
    """One forward pass of a classifier that the loss and every derivative share."""

    def __init__(self, model: Field, x: Tensor, y: Tensor, loss: ClassifierLoss):
        self._parts = model, y, loss
        self.x = leaf(x)
        self.logits = model(self.x)
        check_labels(self.logits, y)
        self.value = per_example(loss(self.logits, y), len(x))

    def at(self, point: Tensor) -> "Pass":
        """The same network, labels and loss at other points."""
        model, y, loss = self._parts
        return Pass(model, point, y, loss)

    def value_at(self, point: Tensor) -> Tensor:
        """The loss alone at other points, differentiable in the weights."""
        model, y, loss = self._parts
        return per_example(loss(model(point.detach()), y), len(point))

    def gradient(self, differentiable: bool) -> Tensor:
        """Input gradient of each example's loss."""
        operator = JacobianOperator(self.value.unsqueeze(1), self.x)
        return operator.transpose(torch.ones_like(operator.output), differentiable)

    def hessian(self) -> HessianOperator:
        """The input Hessians of the loss, and its gradient with a graph."""
        return HessianOperator(self.value, [self.x], self.x.shape)

    def jacobian(self, of: Output) -> JacobianOperator:
        """The input Jacobians of the logits or of the probabilities."""
        output = self.logits if of == "logits" else self.logits.softmax(1)
        return JacobianOperator(output, self.x)


class Penalty(ABC):
    """A regularizer of a classifier's input derivatives.

    Called with a model and a batch, it returns loss and penalty of each example, both
    differentiable in the weights. What it draws comes from `generator`. Where a loss is not
    finite the penalties are NaN.
    """

    def __call__(
        self,
        model: Field,
        x: Tensor,
        y: Tensor,
        *,
        generator: Generator | None = None,
        loss: ClassifierLoss = margin_cross_entropy,
    ) -> Terms:
        with torch.enable_grad():
            shared = Pass(model, x, y, loss)
            if not bool(shared.value.isfinite().all()):
                # a diverged training: its own loop knows the step and should name it
                return Terms(shared.value, torch.full_like(shared.value, torch.nan))
            return Terms(shared.value, self.measure(shared, generator))

    @abstractmethod
    def measure(self, shared: Pass, generator: Generator | None) -> Tensor:
        """The penalty of each example, `(B,)`, from the pass it shares with the loss."""


def top_direction(operator: Operator, start: Tensor, method: str, steps: int) -> Tensor:
    """A detached unit vector near the eigenvector of largest magnitude, from `steps` products."""
    if method == "lanczos":
        return top_eigenpair(operator, start, steps).vector
    v = unit(start)
    for _ in range(steps):
        v = unit(operator(v))
    return v


def probe(like: Tensor, law: Law, generator: Generator | None) -> Tensor:
    """A random vector z for each example with E zz' = I."""
    noise = random_like(like, generator)
    if law == "gaussian":
        return noise
    return noise.sign() if law == "rademacher" else unit(noise) * math.sqrt(like[0].numel())


def length(v: Tensor) -> Tensor:
    """Euclidean norm of each example; where it is zero, so is its derivative."""
    size: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1)
    return size


def squared(v: Tensor) -> Tensor:
    """Squared Euclidean norm of each example."""
    return v.square().flatten(1).sum(1)


def inner(v: Tensor, w: Tensor) -> Tensor:
    """Inner product of each pair of examples."""
    return (v * w).flatten(1).sum(1)


def normalized(v: Tensor) -> Tensor:
    """`v` at unit length for each example, differentiable; a row of zeros stays."""
    flat = v.flatten(1)
    largest = flat.detach().abs().amax(1, keepdim=True)
    flat = flat / torch.where(largest > 0, largest, 1)
    return torch.nn.functional.normalize(flat, dim=1).view_as(v)


def require_one_of(allowed: Collection[str], found: object) -> None:
    if found not in allowed:
        raise ValueError(f"requires one of {', '.join(allowed)}. Found {found!r}.")


def require_positive(name: str, found: float) -> None:
    if not (found > 0 and math.isfinite(found)):
        raise ValueError(f"requires a positive, finite {name}. Found {found}.")


def require_count(name: str, found: int) -> None:
    if found < 1:
        raise ValueError(f"requires at least one of {name}. Found {found}.")
