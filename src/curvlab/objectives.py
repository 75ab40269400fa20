"""Reference trainings in the signature of the penalties: the loss elsewhere, and no penalty.

The attacked or noisy inputs are held fixed; only the final loss is differentiated in the weights.
Each keeps the model in the mode it finds it in, and refuses BatchNorm in training mode.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from curvlab.attacks import UNIT_BOX, Box, Norm, pgd_last
from curvlab.calculus import Field, per_example, require_batch
from curvlab.losses import check_labels, margin_cross_entropy
from curvlab.penalties.shared import (
    ClassifierLoss,
    Terms,
    require_count,
    require_one_of,
    require_positive,
)
from curvlab.spectrum import random_like


class Objective(ABC):
    """A training loss of each example; its `Terms.penalty` is zero."""

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
            x = require_batch(x, "input").detach()
            value = per_example(self.value(model, x, y, generator, loss), len(x))
            return Terms(value, torch.zeros_like(value))

    @abstractmethod
    def value(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        """The loss of each example, `(B,)`."""


@dataclass(frozen=True)
class Plain(Objective):
    """The loss at the data.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Plain()(model, x, y).penalty
    tensor([0., 0., 0.])
    """

    def value(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        return _loss(model, x, y, loss)


@dataclass(frozen=True)
class GaussianNoise(Objective):
    """The loss under Gaussian noise, one draw for each example (Bishop, 1995).

    To second order its mean adds `sigma^2 / 2` times the trace of the input Hessian. The noise
    is not clipped to the pixels' range: that would bias it.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> GaussianNoise(sigma=0.25)(model, x, y).loss.shape
    torch.Size([3])
    """

    sigma: float

    def __post_init__(self) -> None:
        require_positive("sigma", self.sigma)

    def value(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        return _loss(model, x + self.sigma * random_like(x, generator), y, loss)


@dataclass(frozen=True)
class PgdTraining(Objective):
    """The loss at the last iterate of projected gradient ascent (Madry et al., 2018).

    The step is `2.5 epsilon / steps` unless given, the start uniform in the ball.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> attacked = PgdTraining(epsilon=0.1, random_start=False)(model, x, y).loss
    >>> bool((attacked >= Plain()(model, x, y).loss).all())
    True
    """

    epsilon: float
    norm: Norm = "linf"
    steps: int = 7
    step_size: float | None = None
    random_start: bool = True
    box: Box = UNIT_BOX

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        require_one_of(("l2", "linf"), self.norm)
        require_count("steps", self.steps)
        if self.step_size is not None:
            require_positive("step size", self.step_size)

    def value(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        return _loss(model, self.attacked(model, x, y, generator, loss), y, loss)

    def attacked(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        """The inputs to train on."""
        return pgd_last(
            model,
            x,
            y,
            self.epsilon,
            self.norm,
            steps=self.steps,
            step_size=self.step_size,
            random_start=self.random_start,
            loss=loss,
            box=self.box,
            generator=generator,
        )


@dataclass(frozen=True)
class Fgsm(Objective):
    """The loss after one full step (Goodfellow et al., 2015); in l2 along the gradient.

    The original paper averages this with the clean loss; this does not.
    `random_start=True, step_size=1.25 * epsilon` is the fast training of Wong et al. (2020).

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Fgsm(epsilon=0.1)(model, x, y).loss.shape
    torch.Size([3])
    """

    epsilon: float
    norm: Norm = "linf"
    step_size: float | None = None
    random_start: bool = False
    box: Box = UNIT_BOX

    def __post_init__(self) -> None:
        self._one_step()

    def value(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        return self._one_step().value(model, x, y, generator, loss)

    def _one_step(self) -> PgdTraining:
        size = self.epsilon if self.step_size is None else self.step_size
        return PgdTraining(self.epsilon, self.norm, 1, size, self.random_start, self.box)


@dataclass(frozen=True)
class Trades(Objective):
    """Cross-entropy plus `beta KL(p(x) || p(x'))` at the worst x' nearby (Zhang et al., 2019).

    Both distributions are differentiated in the weights. The inner ascent on the divergence must
    not start at x, where its gradient is zero: the official code starts 0.001 Gaussian steps
    away, this one uniformly in the ball. To second order the l2 form penalizes `beta epsilon^2 /
    2` times the largest eigenvalue of J'(diag(p) - pp')J.

    >>> model, x, y = torch.nn.Linear(2, 2), torch.rand(3, 2), torch.tensor([0, 1, 0])
    >>> Trades(epsilon=0.1, beta=6.0)(model, x, y).loss.shape
    torch.Size([3])
    """

    epsilon: float
    beta: float = 6.0
    norm: Norm = "linf"
    steps: int = 10
    step_size: float | None = None
    box: Box = UNIT_BOX

    def __post_init__(self) -> None:
        require_positive("beta", self.beta)
        self._inner()

    def value(
        self, model: Field, x: Tensor, y: Tensor, generator: Generator | None, loss: ClassifierLoss
    ) -> Tensor:
        logits = model(x)
        check_labels(logits, y)
        held = logits.detach()
        point = self._inner().attacked(
            model, x, y, generator, lambda moved, _: divergence(held, moved)
        )
        return loss(logits, y) + self.beta * divergence(logits, model(point))

    def _inner(self) -> PgdTraining:
        return PgdTraining(self.epsilon, self.norm, self.steps, self.step_size, box=self.box)


def divergence(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each pair of rows: `KL(p || q)`, `(B,)`.

    >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([0.])
    """
    log_p, log_q = p_logits.log_softmax(1), q_logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def _loss(model: Field, x: Tensor, y: Tensor, loss: ClassifierLoss) -> Tensor:
    logits = model(x)
    check_labels(logits, y)
    return loss(logits, y)
