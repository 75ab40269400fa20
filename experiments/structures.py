"""Do target matrices train symmetric and diagonal Jacobians in 1024 dimensions?

    python experiments/structures.py    every run, into the package's tables (fifteen minutes)

Two fields on R^1024, of the kinds in the chapter on target matrices. Symmetry: the gradient field
3 U tanh(U'x), U with 8 orthonormal columns, learned by 32 tanh units. Diagonality: x / 2, learned
by as many units plus a multiple of each coordinate. A field learns from 64 or 1024 examples with
noise of deviation 0.3, inputs N(0, I), in 1,000 steps of Adam, 64 examples a step; the rate falls
linearly from 0.003 to zero. The penalty is the squared spectral norm of the Jacobian less its
target, at 16 of the step's examples, from three Lanczos steps. Its strength is a multiple, 0.1, 1,
10, 100 or 1,000, of what weighs as much as the error at the first step: the one with the least
error on 64 further noisy examples. Seeds 1, 2, 3, each with its own field, data and weights;
without a penalty, with the structure's target, and, as a control, with target zero.

Test points are 200 new ones without noise. The Jacobian is computed in full at the first 32 of
them, and of the known points. How far it is from the structure: the Frobenius norm of J - J', or of
what is off the diagonal, over that of J. The claim is compared on each structure, number of
examples and seed twice: with the structure's target this distance is below a tenth at new points,
and the error is below that without a penalty. Normal 95 % intervals over points, paired where there
are two networks.

The rule was fixed after trials with seed 0, the tenth before them. This is the second run. In the
first the rate was constant, and a second reader found trainings that end in a jump; the control,
the known points, the error of the zero field and the norm of J were added then. The rule is that of
the first run.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import torch
from torch import Generator, Tensor, nn

from curvlab.files import write_atomic
from curvlab.penalties import SpectralTarget
from curvlab.results import FOLDER
from curvlab.study import Study
from curvlab.training import mixed

Structure = Literal["symmetry", "diagonality"]
Target = Literal["symmetry", "diagonality", "zero"]
STRUCTURES: tuple[Structure, ...] = ("symmetry", "diagonality")
DIMENSION, HIDDEN, BATCH, PENALIZED, UPDATES = 1024, 32, 64, 16, 1_000
EXAMPLES, SEEDS, MULTIPLES = (64, 1024), (1, 2, 3), (0.1, 1.0, 10.0, 100.0, 1_000.0)
TESTED, WHOLE = 200, 32
Field = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """Tanh units between two linear layers; on request plus a multiple of each coordinate."""

    def __init__(self, dimension: int, hidden: int, scaled: bool):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Linear(dimension, hidden), nn.Tanh(), nn.Linear(hidden, dimension)
        )
        self.scale = nn.Parameter(torch.zeros(dimension)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        """The field at each point, `(B, D) -> (B, D)`."""
        answer: Tensor = self.inner(x)
        return answer if self.scale is None else answer + self.scale * x


class Points(NamedTuple):
    """Inputs and what a field should answer, both `(B, D)`."""

    x: Tensor
    y: Tensor


def truth(structure: str, dimension: int, draw: Generator) -> Field:
    """The field to be learned."""
    if structure == "diagonality":
        return lambda x: x / 2
    columns = torch.linalg.qr(torch.randn(dimension, 8, generator=draw).double())[0].float()
    return lambda x: 3 * (x @ columns).tanh() @ columns.T


def points(field: Field, count: int, dimension: int, noise: float, draw: Generator) -> Points:
    x = torch.randn(count, dimension, generator=draw)
    return Points(x, field(x) + noise * torch.randn(count, dimension, generator=draw))


def error(model: nn.Module, at: Points) -> Tensor:
    """Squared distance to the truth at each point, `(B,)`."""
    return (model(at.x) - at.y).square().sum(1)


def trained(
    structure: str, target: Target, multiple: float, known: Points, seed: int, updates: int
) -> Network:
    """A field that learned from the known points; multiple 0 is no penalty."""
    with torch.random.fork_rng():
        torch.manual_seed(mixed(seed, 2))
        model = Network(known.x.shape[1], HIDDEN, scaled=structure == "diagonality")
    penalty = SpectralTarget("jacobian", target, "lanczos", 3)
    adam, draw = torch.optim.Adam(model.parameters(), lr=3e-3), Generator().manual_seed(seed)
    rate = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, updates)
    strength = None
    for _ in range(updates):
        rows = torch.randperm(len(known.x), generator=draw)[:BATCH]
        loss = error(model, Points(known.x[rows], known.y[rows])).mean()
        if multiple:
            amount = penalty(model, known.x[rows[:PENALIZED]], generator=draw).penalty.mean()
            if strength is None:
                strength = multiple * float((loss / amount).detach())
            loss = loss + strength * amount
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    return model.requires_grad_(False)


def apart(model: Field, structure: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """The share of the Jacobian's Frobenius norm that is off the structure, and that norm, at each
    point, both `(B,)`."""
    shares, sizes = [], []
    for point in x:
        jacobian = torch.func.jacrev(model)(point)
        diagonal = torch.diag_embed(jacobian.diagonal())
        off = jacobian - (diagonal if structure == "diagonality" else jacobian.T)
        sizes.append(jacobian.norm())
        shares.append(off.norm() / sizes[-1])
    return torch.stack(shares), torch.stack(sizes)


def interval(values: Tensor) -> tuple[float, float, float]:
    """A mean and its normal 95 % interval."""
    mean, spread = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean, mean - spread, mean + spread


def run(
    structure: Structure, count: int, seed: int, dimension: int, updates: int
) -> Iterator[dict[str, object]]:
    """One row for each network: without a penalty, then with each target and strength."""
    draw = Generator().manual_seed(mixed(seed, 12))
    field = truth(structure, dimension, draw)
    known, valid = (points(field, size, dimension, 0.3, draw) for size in (count, BATCH))
    test = points(field, TESTED, dimension, 0.0, draw)
    plain = trained(structure, "zero", 0.0, known, seed, updates)
    models = {("none", 0.0): plain} | {
        (target, multiple): trained(structure, target, multiple, known, seed, updates)
        for target, multiple in product((structure, "zero"), MULTIPLES)
    }
    judged = {key: float(error(model, valid).mean()) for key, model in models.items()}
    wrong = {key: error(model, test) for key, model in models.items()}
    zero = float(test.y.square().sum(1).mean())
    for (target, multiple), model in models.items():
        key, rivals = (target, multiple), [other for other in judged if other[0] == target]
        off, sizes = apart(model, structure, test.x[:WHOLE])
        known_off, known_sizes = apart(model, structure, known.x[:WHOLE])
        distance, closest, farthest = interval(off)
        saved, least, most = interval(wrong["none", 0.0] - wrong[key])
        yield {
            "structure": structure, "examples": count, "seed": seed, "target": target,
            "value_varied": multiple, "selected": key == min(rivals, key=judged.__getitem__),
            "validation_error": judged[key], "error": float(wrong[key].mean()),
            "zero_error": zero, "saved": saved, "saved_low": least, "saved_high": most,
            "distance": distance, "distance_low": closest, "distance_high": farthest,
            "jacobian": float(sizes.mean()), "known_distance": float(known_off.mean()),
            "known_jacobian": float(known_sizes.mean()),
        }


def main(runs: Path) -> None:
    """Every run, then the table."""
    torch.set_num_threads(1)
    made = Study(Path(__file__).with_name("study.yaml"), runs).machine
    rows = []
    for structure in STRUCTURES:
        for count, seed in product(EXAMPLES, SEEDS):
            rows += [row | made for row in run(structure, count, seed, DIMENSION, UPDATES)]
            print(structure, count, seed, flush=True)
    write_atomic(FOLDER / "structures.csv", pd.DataFrame(rows).to_csv(index=False).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    main(Path(os.environ.get("CURVLAB_RUNS", "runs")).resolve())
