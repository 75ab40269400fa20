"""Randomized smoothing: what Gaussian noise does to slopes and curvatures, and what it certifies.

For any `f` with values in [0, 1], `f * N(0, sigma^2 I)` has gradients of norm at most
`E|z| / 2 / sigma` and Hessians of norm at most `E(z^2 - 1)_+ / sigma^2`: among all such f a step
across the point, and a band around it, are the worst.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.stats import beta, norm
from torch import Generator, Tensor

from curvlab.calculus import require_batch
from curvlab.spectrum import random_like

ABSTAIN = -1


class Smoothness(NamedTuple):
    """Largest slope and curvature, of either sign, of a smoothed function; both are attained."""

    lipschitz: float
    curvature: float


def smoothing_constants(sigma: float, spread: float = 1.0) -> Smoothness:
    """The constants for functions whose values span an interval of length `spread`.

    A class probability has spread 1, a margin between two of them 2.

    >>> lipschitz, curvature = smoothing_constants(sigma=1.0)
    >>> round(lipschitz, 4), round(curvature, 4)  # 1 / sqrt(2 pi), 2 phi(1)
    (0.3989, 0.4839)
    """
    _check_sigma(sigma)
    if not spread >= 0:
        raise ValueError(f"requires a spread >= 0. Found {spread}.")
    slope, bend = 1 / math.sqrt(2 * math.pi), 2 * math.exp(-0.5) / math.sqrt(2 * math.pi)
    return Smoothness(spread * slope / sigma, spread * bend / sigma**2)


def clopper_pearson(successes: int, trials: int, failure: float = 0.001) -> float:
    """A lower confidence bound on a probability, too high with probability at most `failure`.

    The exact binomial bound (Clopper & Pearson, 1934).

    >>> round(clopper_pearson(100, 100, failure=0.001), 4)  # 0.001 ** (1 / 100)
    0.9333
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"requires 0 <= successes <= trials. Found {successes} of {trials}.")
    if not 0 < failure < 1:
        raise ValueError(f"requires a failure probability in (0, 1). Found {failure}.")
    if successes == 0:
        return 0.0
    return float(beta.ppf(failure, successes, trials - successes + 1)) * (1 - 1e-9)


def cohen_radius(successes: int, trials: int, sigma: float, failure: float = 0.001) -> float:
    """`sigma Phi^-1(p)` with the lower bound p on the top class's probability; 0 below a half.

    The other classes share `1 - p` at most (Cohen et al., 2019).

    >>> round(cohen_radius(99_990, 100_000, sigma=0.5), 2)
    1.75
    """
    _check_sigma(sigma)
    p = clopper_pearson(successes, trials, failure)
    return sigma * float(norm.ppf(p)) * (1 - 1e-9) if p > 0.5 else 0.0


class Smoothed(NamedTuple):
    """A smoothed classifier's answer for each example; `ABSTAIN` and radius 0 where unsure."""

    label: Tensor  # (B,)
    radius: Tensor  # (B,), float64


@torch.no_grad()
def smoothed_certificate(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    sigma: float,
    *,
    samples: int = 10_000,
    selection: int = 100,
    failure: float = 0.001,
    batch_size: int = 1000,
    generator: Generator | None = None,
) -> Smoothed:
    """The class that most noisy copies get, and the radius within which it stays (Cohen et al.).

    `selection` copies choose the class, `samples` fresh ones bound its probability; with one set
    for both the bound would not hold. Each example's certificate is wrong with probability at most
    `failure` over the noise.

    >>> half = lambda x: torch.stack([x[:, 0], -x[:, 0]], 1)  # true radius: 0.5
    >>> g = torch.Generator().manual_seed(0)
    >>> found = smoothed_certificate(half, torch.tensor([[0.5, 0.0]]), sigma=1.0, generator=g)
    >>> found.label, bool(0.4 < found.radius < 0.5)
    (tensor([0]), True)
    """
    _check_sigma(sigma)
    for name, number in {"samples": samples, "selection": selection, "batch": batch_size}.items():
        if number < 1:
            raise ValueError(f"requires at least one {name}. Found {number}.")
    labels, radii = [], []
    for example in require_batch(x, "input"):
        noisy = (model, example, sigma, batch_size, generator)
        label = int(_votes(selection, *noisy).argmax())
        count = int(_votes(samples, *noisy)[label])
        radius = cohen_radius(count, samples, sigma, failure)
        labels.append(label if radius > 0 else ABSTAIN)
        radii.append(radius)
    return Smoothed(
        torch.tensor(labels, device=x.device),
        torch.tensor(radii, dtype=torch.float64, device=x.device),
    )


def _votes(
    number: int,
    model: Callable[[Tensor], Tensor],
    example: Tensor,
    sigma: float,
    batch_size: int,
    generator: Generator | None,
) -> Tensor:
    """How many noisy copies of an example each class gets."""
    votes = []
    for start in range(0, number, batch_size):
        copies = example.expand(min(batch_size, number - start), *example.shape)
        logits = model(copies + sigma * random_like(copies, generator))
        votes.append(torch.bincount(logits.argmax(1), minlength=logits.shape[1]))
    return torch.stack(votes).sum(0)


def _check_sigma(sigma: float) -> None:
    if not 0 < sigma < math.inf:
        raise ValueError(f"requires a finite sigma > 0. Found {sigma}.")
