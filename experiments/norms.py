"""Spectral norms of Jacobians and loss Hessians from a few products: Lanczos, power iteration,
Hutchinson.

    python experiments/norms.py    every network, into the package's tables (four minutes)

Fixed before the run. Networks: the convolutional ones that the zoo then held, at the first 100 test
images, in float64. Quantities: the largest singular value of the logits' Jacobian J, from products
with JJ', and the largest absolute eigenvalue of the loss Hessian H. Two, four and eight products,
from one random start for Lanczos and power iteration. Power iteration answers with the length of
its last product, which is never below its Rayleigh quotient. Lanczos could do the same, with the
longest product of a unit vector in its space; as published it answers with the largest Ritz value,
and that answer is the one compared, the other is written down beside it. Hutchinson answers with
the root of the mean squared length of Hz or J'z for random signs z, which estimates the Frobenius
norm: it stands here because it has been used in the spectral norm's place. Truth: all of J, and
Lanczos with as many products as it takes for a residual of a millionth.

The claim that Lanczos finds the norms better at equal products is compared on each network,
quantity, number of products and rival by the share of images on which Lanczos is nearer, ties
counting half, with Wilson's 95 % interval against one half. (Errors are far too skewed for means:
that was seen in a trial on 20 images of one network, and the rule was fixed then.)
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from curvlab import data, zoo
from curvlab.calculus import hessian_operator, jacobian_operator
from curvlab.files import write_atomic
from curvlab.losses import margin_cross_entropy
from curvlab.measures import longest_image
from curvlab.results import FOLDER
from curvlab.spectrum import Operator, lanczos, power_iteration, ritz, top_eigenpair
from curvlab.study import Study
from curvlab.training import mixed

IMAGES, PRODUCTS, ENOUGH = 100, (2, 4, 8), 120
PILOTS = ("hessian-norm", "input-gradient", "pgd", "plain", "untrained")
NETWORKS = {
    "fashion-mnist/softplus": PILOTS,
    "mnist/softplus": (*PILOTS, "cross-lipschitz", "cure", "jacobian-frobenius", "krylov-1",
                       "krylov-2", "noise", "scorpio", "trades"),
}


class Norm(NamedTuple):
    """A norm to be found: a root of the product's top eigenvalue, or the length of a side."""

    truth: Tensor
    product: Operator
    root: float
    side: Operator
    start: Tensor


def answers(norm: Norm, products: int, draw: torch.Generator) -> dict[str, Tensor]:
    """What each method says after as many products."""
    power = power_iteration(norm.product, norm.start, products)
    krylov = lanczos(norm.product, norm.start, products)
    squared = [
        norm.side(signs(norm.start, draw)).square().flatten(1).sum(1) for _ in range(products)
    ]
    return {
        "Lanczos": ritz(krylov).values.abs().amax(1) ** norm.root,
        "power iteration": torch.hypot(power.value, power.residual) ** norm.root,
        "Lanczos, longest image": longest_image(krylov) ** norm.root,
        "Hutchinson": torch.stack(squared).mean(0).sqrt(),
    }


def signs(like: Tensor, draw: torch.Generator) -> Tensor:
    return torch.randint(2, like.shape, generator=draw).to(like) * 2 - 1


def measured(name: str) -> Iterator[dict[str, object]]:
    """One row for each quantity, number of products and method of one network."""
    draw = torch.Generator().manual_seed(mixed(0, 11))
    x, y = data.load(name.split("/")[0], "test")
    x, y = x[:IMAGES].double(), y[:IMAGES]
    model = zoo.load(name).double()
    jacobian = jacobian_operator(model, x)
    hessian = hessian_operator(lambda z: margin_cross_entropy(model(z), y), x)
    logits = torch.randn(jacobian.output.shape, generator=draw, dtype=x.dtype)
    pixels = torch.randn(x.shape, generator=draw, dtype=x.dtype)
    top = top_eigenpair(hessian, pixels, ENOUGH, tolerance=1e-6)
    if not bool(top.converged.all()):
        raise RuntimeError(f"requires converged norms of {name}. Found {top.converged.sum()}.")
    largest = torch.linalg.eigvalsh(jacobian.gram().detach())[:, -1]
    quantities = {
        "Jacobian spectral": Norm(largest.sqrt(), lambda u: jacobian.apply(jacobian.transpose(u)),
                                  0.5, jacobian.transpose, logits),
        "Hessian spectral": Norm(top.value.abs(), hessian, 1.0, hessian, pixels),
    }
    where = dict(zip(("data", "activation", "method"), name.split("/"), strict=True))
    for quantity, norm in quantities.items():
        for products in PRODUCTS:
            found = answers(norm, products, draw)
            errors = {key: (v / norm.truth - 1).abs().detach() for key, v in found.items()}
            for estimator, error in errors.items():
                nearer, low, high = share(errors["Lanczos"], error)
                yield {**where, "network": "cnn", "quantity": quantity, "products": products,
                       "estimator": estimator, "images": IMAGES, "error": float(error.mean()),
                       "median_error": float(error.median()), "lanczos_nearer": nearer,
                       "low": low, "high": high}


def share(mine: Tensor, other: Tensor) -> tuple[float, float, float]:
    """Of how many images mine is the smaller one, ties counting half: share, Wilson's interval."""
    count, z = len(mine), 1.96
    p = float(((mine < other).double() + (mine <= other).double()).mean()) / 2
    middle = p + z * z / (2 * count)
    spread = z * (p * (1 - p) / count + (z / (2 * count)) ** 2) ** 0.5
    low, high = ((middle + side * spread) / (1 + z * z / count) for side in (-1, 1))
    return p, low, high


def main(runs: Path) -> None:
    """Every network, then the table."""
    torch.set_num_threads(1)
    made = Study(Path(__file__).with_name("study.yaml"), runs).machine
    rows = []
    for name, methods in NETWORKS.items():
        for method in methods:
            rows += [row | made for row in measured(f"{name}/{method}")]
            print(f"{name}/{method}", flush=True)
    write_atomic(FOLDER / "norms.csv", pd.DataFrame(rows).to_csv(index=False).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    main(Path(os.environ.get("CURVLAB_RUNS", "runs")).resolve())
