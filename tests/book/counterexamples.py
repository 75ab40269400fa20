"""Classifiers that show what the value of a method cannot bound; `reference/methods` prints them.

Inputs are rows of one or two coordinates, the data point is 0 and its class 0. Each family has one
free number: along it the rise of the loss inside the unit ball grows while what the method sees
does not, or what the method sees vanishes while the rise stays.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from curvlab import objectives, penalties
from curvlab.losses import margin_cross_entropy

DRAWS = 4000


def classifier(loss):
    """Two-class logits whose cross-entropy in class 0 is `loss`, any positive function of x."""

    def logits(x):
        margin = -torch.log(torch.expm1(loss(x)))
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)

    return logits


def plateau(height):
    """Flat out to 0.005, and higher by `height` from 0.01 on."""

    def loss(x):
        s = (200 * x[:, 0].abs() - 1).clamp(0, 1)
        return 1 + height * s**3 * (10 - 15 * s + 6 * s**2)

    return classifier(loss)


def slope(steepness):
    """A plane, wherever it is positive."""
    return classifier(lambda x: 1 + steepness * x[:, 0])


def wave(height):
    """A loss of period 1."""
    return classifier(lambda x: torch.exp(height * torch.sin(2 * torch.pi * x[:, 0])))


def ridge(steepness):
    """Three classes with affine logits; the second axis is a line of symmetry."""

    def logits(x):
        across = steepness * x[:, 0]
        return torch.stack([1 + x[:, 1], across, -across], dim=1)

    return logits


def needle(height):
    """Flat but for one spike around 1/2, the narrower the higher."""

    def loss(x):
        s = (10 * height**3 * (x[:, 0] - 0.5).abs()).clamp(0, 1)
        return 1 + height * (1 - s**2) ** 3

    return classifier(loss)


def tilt(bend):
    """Steep and straight along one axis, a little bent along the other."""
    return classifier(lambda x: 1 + 0.9 * x[:, 0] + bend * x[:, 1] ** 2)


def rays(steepness):
    """As many classes as inputs; each logit is a multiple of its input."""
    return lambda x: steepness * x


class Family(NamedTuple):
    """A family of classifiers, two values of its free number, and a bad point of the ball."""

    make: Callable[[float], Callable[[torch.Tensor], torch.Tensor]]
    free: str
    first: float
    second: float
    witness: tuple[float, ...]


FAMILIES = {
    "plateau": Family(plateau, "height", 1.0, 100.0, (0.01,)),
    "slope": Family(slope, "steepness", 0.1, 0.9, (1.0,)),
    "wave": Family(wave, "height", 0.5, 3.0, (0.25,)),
    "ridge": Family(ridge, "steepness", 2.0, 200.0, (1.0, 0.0)),
    "needle": Family(needle, "height", 1.0, 10.0, (0.5,)),
    "tilt": Family(tilt, "bend", 0.1, 0.001, (1.0, 0.0)),
    "rays": Family(rays, "steepness", 1.0, 100.0, (-0.7, 0.7)),
}

# Which family fools which method, and how the method is called there.
FOOLED: dict[str, list[Any]] = {
    "plateau": [
        penalties.InputGradient(),
        penalties.GradientFiniteDifference(step=0.004),
        penalties.JacobianFrobenius(),
        penalties.JacobianSpectral(),
        penalties.JacobianEntrywise(),
        penalties.CrossLipschitz(),
        penalties.HessianNorm(),
        penalties.SecondOrderModel(epsilon=1.0),
        penalties.Cure(step=0.004),
        penalties.Scorpio(epsilon=1.0),
        penalties.KrylovAdversary(epsilon=1.0),
        penalties.Soar(epsilon=1.0, norm="l2", method="lanczos"),
        objectives.Plain(),
    ],
    "slope": [
        penalties.HessianNorm(),
        penalties.Cure(step=1.0),
        penalties.Elle(epsilon=1.0),
        penalties.GradAlign(epsilon=1.0),
    ],
    "wave": [
        penalties.GradientFiniteDifference(step=1.0),
        penalties.Cure(step=1.0),
        objectives.Fgsm(epsilon=1.0, box=None),
    ],
    "ridge": [
        penalties.InputGradient(),
        penalties.GradientFiniteDifference(),
        penalties.HessianNorm(),
        penalties.SecondOrderModel(epsilon=1.0),
        penalties.Cure(),
        penalties.Scorpio(epsilon=1.0),
        penalties.KrylovAdversary(epsilon=1.0),
        objectives.Fgsm(epsilon=1.0, norm="l2", box=None),
        objectives.PgdTraining(epsilon=1.0, norm="l2", random_start=False, box=None),
    ],
    "needle": [
        penalties.Llr(epsilon=1.0),
        penalties.Elle(epsilon=1.0),
        penalties.GradAlign(epsilon=1.0),
        objectives.GaussianNoise(sigma=1.0),
        objectives.PgdTraining(epsilon=1.0, box=None),
        objectives.Trades(epsilon=1.0, box=None),
    ],
    "tilt": [penalties.Llr(epsilon=1.0, norm="l2", steps=40, step_size=1.0)],
    "rays": [
        penalties.SpectralTarget("jacobian", "symmetry"),
        penalties.SpectralTarget("jacobian", "diagonality"),
    ],
}


class Seen(NamedTuple):
    """What a method sees at the data point, and how far the loss rises at the witness."""

    value: float
    rise: float


def run(method: Any, family: Family, free: float) -> Seen:
    """The mean over `DRAWS` of the penalty, or of what an objective adds to the loss."""
    model = family.make(free)
    x = torch.zeros(DRAWS, len(family.witness), dtype=torch.float64)
    y = torch.zeros(DRAWS, dtype=torch.int64)
    clean = margin_cross_entropy(model(x), y)
    generator = torch.Generator().manual_seed(0)
    if isinstance(method, penalties.SpectralTarget):
        value = method(model, x, generator=generator).penalty
    else:
        terms = method(model, x, y, generator=generator)
        value = terms.loss - clean + terms.penalty
    there = margin_cross_entropy(model(x[:1] + x.new_tensor([family.witness])), y[:1])
    return Seen(float(value.detach().mean()), float((there - clean[:1]).detach()))
