"""Do the identities between penalties on rectifier networks show in training?

    python experiments/identities.py    every run, into the package's tables (half an hour)

Fixed before the run. Threes and eights of MNIST, as two classes: there each penalty is, off the
kinks, a confidence weight times the squared norm of w, the gradient of the margin. Its twin is that
product, written with first derivatives of the margin and nothing else:

    penalty                        twin, p the label's probability   the identity needs
    input gradient, squared        (1 - p)^2 |w|^2                   nothing
    cross-Lipschitz, all rows      1/2 |w|^2                         nothing
    Hessian norm                   p (1 - p) |w|^2                   a rectifier
    CURE, step h as in the study   (h p (1 - p) |w'z| |w|)^2         a rectifier, a short step that
                                                                     meets no kink
    Jacobian Frobenius, all rows   1/2 |w|^2                         rows without a common part

A fully connected network, 784-64-64-2, rectified or with the study's softplus, is trained from the
same weights on the same batches in double precision: without a penalty, with the penalty, and with
its twin. Strengths are the second largest of the study's four; 4 epochs, seeds 1, 2, 3.

An identity shows where the twin's network is the penalized network: on a test image, where their
margins differ by less than a hundredth of what the penalty changed, the difference between the
penalized and the plain margin. The claim is compared on each penalty and seed of the rectified
network: the share of test images where this holds, by Wilson's 95 % interval, against one half.
The softplus networks are the contrast, and count for nothing.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from norms import share
from torch import Generator, Tensor, nn

from curvlab import data
from curvlab.attacks import pgd
from curvlab.data import Examples
from curvlab.files import write_atomic
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP
from curvlab.objectives import Plain
from curvlab.penalties import (
    CrossLipschitz,
    Cure,
    HessianNorm,
    InputGradient,
    JacobianFrobenius,
    Terms,
)
from curvlab.results import FOLDER
from curvlab.study import Study
from curvlab.training import Penalty, fit, mixed

CLASSES, SIZES, ACTIVATIONS = (3, 8), (784, 64, 64, 2), ("relu", "softplus")
SEEDS, EPOCHS, STEP, RADIUS, NEAR = (1, 2, 3), 4, 1.5, 1.5, 0.01
Weighted = Callable[[Tensor, Tensor], Tensor]  # p (B,), w (B, D) -> (B,)


class Twin(NamedTuple):
    """A penalty as a function of the label's probability and the margin's gradient alone."""

    weighted: Weighted

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: Generator | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = margin_cross_entropy,
    ) -> Terms:
        x = x.detach().requires_grad_()
        logits = model(x)
        margin = margin_of(logits, y)
        (w,) = torch.autograd.grad(margin.sum(), x, create_graph=True)
        return Terms(loss(logits, y), self.weighted(margin.sigmoid(), w.flatten(1)))


def margin_of(logits: Tensor, y: Tensor) -> Tensor:
    """The label's logit less the other one."""
    return (logits[:, 0] - logits[:, 1]) * (1 - 2 * y)


def square(w: Tensor) -> Tensor:
    return w.square().sum(1)


def along_signs(p: Tensor, w: Tensor) -> Tensor:
    """CURE's square in the limit of a short step: z has the signs of the gradient, which are those
    of w or their opposites."""
    z = nn.functional.normalize(w.detach().sign(), dim=1)
    return (STEP * p * (1 - p) * (w * z).sum(1)).square() * square(w)


GRADIENT, HESSIAN = InputGradient("l2", squared=True), HessianNorm("lanczos", steps=3)
PAIRS: dict[str, tuple[Penalty, Twin, float]] = {
    "input-gradient": (GRADIENT, Twin(lambda p, w: (1 - p).square() * square(w)), 8),
    "cross-lipschitz": (CrossLipschitz(None), Twin(lambda p, w: square(w) / 2), 0.08),
    "hessian-norm": (HESSIAN, Twin(lambda p, w: p * (1 - p) * square(w)), 4),
    "cure": (Cure(STEP), Twin(along_signs), 4),
    "jacobian-frobenius": (JacobianFrobenius(None), Twin(lambda p, w: square(w) / 2), 0.016),
}


def two_classes(split: str) -> Examples:
    """The images of both digits, labelled 0 and 1, in double precision."""
    x, y = data.load("mnist", split)
    kept = (y == CLASSES[0]) | (y == CLASSES[1])
    return Examples(x[kept].double(), (y[kept] == CLASSES[1]).long())


def trained(activation: str, penalty: Penalty, strength: float, images: Examples, seed: int,
            epochs: int) -> nn.Module:
    """A network of this seed: weights and batches depend on nothing else."""
    with torch.random.fork_rng():
        torch.manual_seed(mixed(seed, 2))
        model = MLP(SIZES, activation, beta=8.0).double()
    fit(model, images, penalty, strength=strength, epochs=epochs, seed=seed, batch_size=64,
        learning_rate=0.004, quiet=True)
    return model.requires_grad_(False)


def judged(
    model: nn.Module, test: Examples, seed: int, attacked: int
) -> tuple[Tensor, float, float]:
    """Margins of the test images; accuracy, and accuracy under attack on the first ones."""
    draw = torch.Generator().manual_seed(mixed(seed, 4))
    margins = margin_of(model(test.x), test.y)
    first = test.x[:attacked], test.y[:attacked]
    found = pgd(model, *first, RADIUS, "l2", steps=20, restarts=2, generator=draw)
    return margins, float((margins > 0).double().mean()), float((~found.fooled).double().mean())


def run(activation: str, seed: int, images: Examples, test: Examples, epochs: int, attacked: int
        ) -> Iterator[dict[str, object]]:
    """One row for each penalty."""
    plain = trained(activation, Plain(), 0.0, images, seed, epochs)
    base, *_ = judged(plain, test, seed, attacked)
    for name, (penalty, twin, strength) in PAIRS.items():
        ours, theirs = (
            judged(trained(activation, each, strength, images, seed, epochs), test, seed, attacked)
            for each in (penalty, twin)
        )
        apart, changed = (ours[0] - theirs[0]).abs(), (ours[0] - base).abs()
        near, low, high = share(apart, NEAR * changed)
        yield {
            "data": "mnist 3 and 8", "network": "-".join(map(str, SIZES)), "activation": activation,
            "method": name, "value_varied": strength, "seed": seed, "images": len(test.y),
            "near": near, "low": low, "high": high,
            "apart": float((apart / changed).median()),
            "clean": ours[1], "robust": ours[2], "twin_clean": theirs[1], "twin_robust": theirs[2],
        }


def main(runs: Path) -> None:
    """Every run, then the table."""
    torch.set_num_threads(1)
    made = Study(Path(__file__).with_name("study.yaml"), runs).machine
    images, test = two_classes("train"), two_classes("test")
    rows = []
    for activation in ACTIVATIONS:
        for seed in SEEDS:
            rows += [row | made for row in run(activation, seed, images, test, EPOCHS, 500)]
            print(activation, seed, flush=True)
    write_atomic(FOLDER / "identities.csv", pd.DataFrame(rows).to_csv(index=False).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    main(Path(os.environ.get("CURVLAB_RUNS", "runs")).resolve())
