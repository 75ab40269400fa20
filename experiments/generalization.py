"""Gaps between training and test risk over the number of training images, for one hidden layer.

    python experiments/generalization.py    every run, into the package's tables (ten minutes)

Fixed before the runs. Network: 784-64-10 with tanh and without biases, the class of the chapter's
bounds. A seed draws the training images (from the study's training split), the initial weights and
the order; all methods of a size and seed share images and weights. Adam as in the study, at least
800 steps of 64 images whatever the size. Methods: plain; the squared Frobenius norm of the
Jacobian from one probe, at the study's strengths but the smallest; PGD training in l2. Nothing is
selected: every strength is in the table. Risks are means over the training images and over the
first 2,000 test images, the robust loss by PGD (a lower bound of the true one).

A gap is the risk on test images less that on training images. The claim "the Jacobian-regularized
risk has a smaller generalization gap than the robust risk" is compared on each network trained with
the penalty: its own regularized risk against the robust loss, 3 sizes x 3 strengths x 3 seeds. An
interval covers the draw of test images (normal, 95 %), for the same images in both risks.
A fourth size, 3,000, was planned and dropped for want of time, after the smaller ones had been seen
and before any of it was run to its end.

Each size and seed leaves a file in the runs folder; a later call at the same commit believes it.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from curvlab import data
from curvlab.attacks import pgd
from curvlab.calculus import jacobian_operator
from curvlab.data import Examples
from curvlab.files import write_atomic
from curvlab.losses import margin_cross_entropy
from curvlab.measures import batches
from curvlab.objectives import PgdTraining, Plain
from curvlab.penalties import JacobianFrobenius
from curvlab.results import FOLDER
from curvlab.study import Study
from curvlab.training import Penalty, fit, mixed

SIZES = (100, 300, 1000)
SEEDS = (1, 2, 3)
STRENGTHS = (0.004, 0.016, 0.064)
RADIUS, HIDDEN, STEPS, BATCH, TESTED = 1.0, 64, 800, 64, 2_000


def methods(steps: int) -> list[tuple[str, Penalty, float]]:
    """Name, objective and strength of each training."""
    penalized = [("jacobian-frobenius", JacobianFrobenius(1), s) for s in STRENGTHS]
    return [("plain", Plain(), 0.0), *penalized,
            ("pgd", PgdTraining(RADIUS, "l2", steps=steps), 0.0)]


def network(seed: int) -> nn.Sequential:
    """The untrained network of a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(mixed(seed, 2))
        layers = nn.Linear(784, HIDDEN, bias=False), nn.Linear(HIDDEN, 10, bias=False)
    return nn.Sequential(nn.Flatten(), layers[0], nn.Tanh(), layers[1])


def drawn(split: Examples, size: int, seed: int) -> Examples:
    """The training images of a seed; a smaller size is the start of a larger one."""
    order = torch.randperm(len(split.y), generator=torch.Generator().manual_seed(mixed(seed, 7)))
    return Examples(split.x[order[:size]], split.y[order[:size]])


def risks(model: nn.Module, images: Examples, strength: float, steps: int, seed: int
          ) -> dict[str, Tensor]:
    """Losses of each image: clean, robust and squared Jacobian norm; errors; and `excess`, the
    robust loss less the regularized one."""
    parts: dict[str, list[Tensor]] = {}
    draw = torch.Generator().manual_seed(mixed(seed, 4))
    for x, y in batches(*images, 1_000):
        found = pgd(model, x, y, RADIUS, "l2", steps=steps, restarts=2, keep="loss",
                    generator=draw)
        logits = model(x)
        loss = margin_cross_entropy(logits, y)
        jacobian = jacobian_operator(model, x).matrix().square().flatten(1).sum(1)
        batch = {"loss": loss, "robust loss": found.loss, "jacobian": jacobian,
                 "error": logits.argmax(1) != y, "robust error": found.fooled,
                 "excess": found.loss - loss - strength * jacobian}
        for quantity, values in batch.items():
            parts.setdefault(quantity, []).append(values.detach().double())
    return {quantity: torch.cat(values) for quantity, values in parts.items()}


def weights(model: nn.Sequential) -> tuple[float, float]:
    """The norms of the chapter's class: the sum over hidden units of the outgoing norms, and the
    largest incoming norm."""
    incoming, outgoing = model[1].weight.detach(), model[3].weight.detach()
    return float(outgoing.norm(dim=0).sum()), float(incoming.norm(dim=1).max())


def run(size: int, seed: int, training: Examples, test: Examples, total: int, attack: int
        ) -> list[dict[str, object]]:
    """All methods at one size and seed: one row a measurement."""
    chosen, rows = drawn(training, size, seed), []
    epochs = math.ceil(total / math.ceil(size / BATCH))
    for name, objective, strength in methods(7):
        model = network(seed)
        history = fit(model, chosen, objective, strength=strength, epochs=epochs, seed=seed,
                      batch_size=BATCH, learning_rate=0.004, quiet=True)
        outgoing, incoming = weights(model)
        where = {"data": "mnist", "network": "784-64-10", "activation": "tanh", "method": name,
                 "value_varied": strength, "seed": seed, "training_images": size,
                 "steps": history.steps, "outgoing": outgoing, "incoming": incoming}
        for split, images in (("train", chosen), ("test", test)):
            for quantity, values in risks(model, images, strength, attack, seed).items():
                rows.append({**where, "split": split, "quantity": quantity, "images": len(values),
                             "value": float(values.mean()),
                             "standard_error": float(values.std() / math.sqrt(len(values)))})
    return rows


def finished(size: int, seed: int, made: dict[str, str], runs: Path) -> list[dict[str, object]]:
    """The rows of one size and seed: done earlier at this commit, or now."""
    path = runs / "generalization" / f"{size}-{seed}.json"
    if path.exists():
        rows: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))
        if rows[0]["commit"] == made["commit"]:
            return rows
    training, test = data.load("mnist", "train"), data.load("mnist", "test")
    test = Examples(test.x[:TESTED], test.y[:TESTED])
    rows = [row | made for row in run(size, seed, training, test, STEPS, 20)]
    write_atomic(path, json.dumps(rows).encode())
    return rows


def main(runs: Path) -> None:
    """Every run, then the table."""
    torch.set_num_threads(1)
    made = Study(Path(__file__).with_name("study.yaml"), runs).machine
    rows: list[dict[str, object]] = []
    started = time.perf_counter()
    for size in SIZES:
        for seed in SEEDS:
            rows += finished(size, seed, made, runs)
            print(f"{size} images, seed {seed}: {time.perf_counter() - started:.0f} s so far",
                  file=sys.stderr, flush=True)
    write_atomic(FOLDER / "generalization.csv", pd.DataFrame(rows).to_csv(index=False).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    main(Path(os.environ.get("CURVLAB_RUNS", "runs")).resolve())
