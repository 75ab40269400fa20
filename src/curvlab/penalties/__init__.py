"""Every regularizer of the book, one signature: `penalty(model, x, y) -> Terms(loss, penalty)`.

A penalty is a frozen dataclass of its hyper-parameters; the strength belongs to the training
loop, which minimizes the mean of `loss + strength * penalty`:

>>> import torch
>>> model, x, y = torch.nn.Linear(4, 3), torch.rand(8, 4), torch.randint(3, (8,))
>>> terms = HessianNorm()(model, x, y)
>>> (terms.loss + 0.1 * terms.penalty).mean().backward(inputs=list(model.parameters()))

Naming the weights as `inputs` saves a tenth to a fifth of the step: the graph also reaches the
images, whose gradient nobody needs.

Both terms are per example: no value depends on who else is in the batch, nor on its size. A
direction that an inner iteration finds is detached, and one differentiable product follows: at
the exact maximizer that is the maximum's own derivative (Danskin, 1966). Penalties that compare
two points run the network twice; with dropout the two runs would draw two masks, so switch it
off.
"""

from curvlab.penalties.adversary import KrylovAdversary, KrylovStep, Scorpio, krylov_step
from curvlab.penalties.curvature import Cure, HessianNorm, SecondOrderModel
from curvlab.penalties.gradient import GradientFiniteDifference, InputGradient
from curvlab.penalties.jacobian import (
    CrossLipschitz,
    JacobianEntrywise,
    JacobianFrobenius,
    JacobianSpectral,
)
from curvlab.penalties.linearity import Elle, GradAlign, Llr, Soar
from curvlab.penalties.shared import Penalty, Terms
from curvlab.penalties.target import FieldTerms, Products, SpectralTarget

__all__ = [
    "CrossLipschitz",
    "Cure",
    "Elle",
    "FieldTerms",
    "GradAlign",
    "GradientFiniteDifference",
    "HessianNorm",
    "InputGradient",
    "JacobianEntrywise",
    "JacobianFrobenius",
    "JacobianSpectral",
    "KrylovAdversary",
    "KrylovStep",
    "Llr",
    "Penalty",
    "Products",
    "Scorpio",
    "SecondOrderModel",
    "Soar",
    "SpectralTarget",
    "Terms",
    "krylov_step",
]
