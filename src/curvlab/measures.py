"""What the study measures on a trained network: outcomes under attack, norms of derivatives,
distances, signs of masking, certificates. Functions of a network and examples, nothing else."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curvlab.attacks import Norm, fools, masking_report, minimal_norm, pgd
from curvlab.bounds import certify, network_constants
from curvlab.calculus import hessian_operator, jacobian_operator
from curvlab.losses import margin_cross_entropy
from curvlab.spectrum import Krylov, random_like, top_eigenpair
from curvlab.training import mixed

BATCH = 250
Row = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]
LEVELS = {"median": 0.5, "90th percentile": 0.9}
RESAMPLES = 2_000


def survivors(
    model: nn.Module, x: Tensor, y: Tensor, epsilons: list[float], norm: Norm, steps: int,
    restarts: int, draw: torch.Generator,
) -> dict[float, Tensor]:
    """Which examples PGD leaves correct at each epsilon. One that falls in a ball has fallen in
    every larger one, so it is not attacked again."""
    alive = correct(model, x, y)
    held = {}
    for epsilon in sorted(epsilons):
        alive = alive.clone()
        for rows in torch.split(alive.nonzero().squeeze(1), BATCH):
            if not len(rows):  # the split of nothing is one empty part
                break
            found = pgd(model, x[rows], y[rows], epsilon, norm, steps=steps, restarts=restarts,
                        drop_fooled=True, generator=draw)
            alive[rows] = ~found.fooled
        held[epsilon] = alive
    return held


@torch.no_grad()
def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([
        ~fools(model(images), labels) for images, labels in batches(x, y, 1_000)
    ])


def batches(x: Tensor, y: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(x, size), torch.split(y, size), strict=True)


def share(outcomes: Tensor) -> float:
    return float(outcomes.double().mean())


def derivative_norms(
    model: nn.Module, x: Tensor, y: Tensor, products: int, seed: int
) -> list[Row]:
    """Median and 90th percentile over images of the norms of the loss gradient, of the logits'
    Jacobian and of the loss Hessian, in float64."""
    double = model.double()
    draw = torch.Generator(x.device).manual_seed(mixed(seed, 5))
    norms: dict[str, list[Tensor]] = {}
    for images, labels in batches(x.double(), y, BATCH):
        operator = hessian_operator(partial(loss_at, double, labels), images)
        gradient = operator.gradient.detach().flatten(1)
        start = random_like(images, draw)
        values = top_eigenpair(operator, start, steps=products, which="magnitude").value
        gram = jacobian_operator(double, images).gram()
        batch = {
            "gradient l2": gradient.norm(dim=1),
            "gradient l1": gradient.abs().sum(1),
            "Jacobian Frobenius": gram.diagonal(dim1=1, dim2=2).sum(1).sqrt(),
            "Jacobian spectral": torch.linalg.eigvalsh(gram)[:, -1].clamp_min(0).sqrt(),
            "Hessian spectral": values.abs(),
        }
        for quantity, found in batch.items():
            norms.setdefault(quantity, []).append(found.detach())
    model.float()
    return [
        {"quantity": quantity, "statistic": statistic, "images": len(y),
         "value": float(torch.cat(parts).quantile(level))}
        for quantity, parts in norms.items() for statistic, level in LEVELS.items()
    ]


def loss_at(model: nn.Module, y: Tensor, x: Tensor) -> Tensor:
    return margin_cross_entropy(model(x), y)


def longest_image(krylov: Krylov) -> Tensor:
    """The largest |Av| over unit vectors v of each Krylov space: AQ = QT + re' is as long as T with
    |r| written below its last column. Never above the norm of A, never behind a Ritz value.

    >>> from curvlab.spectrum import lanczos
    >>> scale = torch.tensor([[3.0, -5.0, 1.0]])
    >>> longest_image(lanczos(lambda v: scale * v, torch.ones(1, 3), steps=1))
    tensor([3.4157])
    """
    diagonal, side, _, residual, size = krylov
    below = torch.zeros_like(diagonal)
    below[torch.arange(len(size)), size - 1] = residual.flatten(1).norm(dim=1)
    t = torch.diag_embed(diagonal) + torch.diag_embed(side, 1) + torch.diag_embed(side, -1)
    length: Tensor = torch.linalg.matrix_norm(torch.cat([t, below.unsqueeze(1)], dim=1), ord=2)
    return length


def packed(outcomes: Tensor) -> str:
    """Booleans as hexadecimal digits, four to one, the first in the highest bit."""
    return np.packbits(outcomes.cpu().numpy()).tobytes().hex()


def unpacked(digits: str, count: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """The first `count` booleans that `packed` wrote.

    >>> unpacked(packed(torch.tensor([True, False, True])), 3).tolist()
    [True, False, True]
    """
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))[:count].astype(np.bool_)


@cache
def resampled(count: int) -> Array:
    """How often each of `count` images is drawn in each resample: the same for all pairs."""
    return np.random.default_rng(0).multinomial(count, [1 / count] * count, RESAMPLES)


def paired_interval(difference: Array) -> tuple[float, float]:
    """A 95 % interval of the mean of a difference over images (percentile bootstrap)."""
    count = len(difference)
    low, high = np.quantile(resampled(count) @ difference / count, [0.025, 0.975])
    return float(low), float(high)


def distances(
    model: nn.Module, x: Tensor, y: Tensor, norm: Norm, steps: int, seed: int
) -> list[float]:
    """The distance to the nearest fooling point found, 0 where the image itself fools."""
    draw = torch.Generator(x.device).manual_seed(mixed(seed, 6))
    parts = [
        minimal_norm(model, images, labels, norm, steps=steps, generator=draw).distance
        for images, labels in batches(x, y, BATCH)
    ]
    return [round(float(value), 5) for value in torch.cat(parts)]


def masking(
    model: nn.Module, x: Tensor, y: Tensor, epsilon: float, norm: Norm, steps: int, queries: int,
    seed: int,
) -> Row:
    """Accuracies under attacks that should agree, their gap, and the signs that they do not."""
    report = masking_report(model, x, y, epsilon, norm, steps=steps, queries=queries, seed=seed)
    seen = (report.cross_entropy, report.dlr, report.black_box)
    row = {"norm": norm, "epsilon": epsilon, "images": len(y), **report._asdict()}
    # Positive where an attack without cross-entropy's gradient breaks more than one with it.
    return row | {"gap": seen[0] - min(seen[1:]), "flags": "; ".join(report.flags)}


def certified(model: nn.Module, x: Tensor, y: Tensor, epsilons: list[float]) -> list[Row]:
    """The share of images whose certified l2 radius reaches each epsilon, in float64."""
    model.double()
    constants = network_constants(model, x.shape[1:])
    found = [certify(model, images, labels, constants)
             for images, labels in batches(x.double(), y, BATCH)]
    model.float()
    return [
        {"certificate": name, "epsilon": epsilon, "images": len(y),
         "value": share(torch.cat([getattr(part, name) for part in found]) >= epsilon)}
        for name in ("lipschitz", "curvature", "combined") for epsilon in epsilons
    ]
