"""Do target matrices train symmetric and diagonal Jacobians in 1024 dimensions?

    python experiments/structures.py    every run, into the package's tables (ten minutes)

Fixed before the run, after trials with seed 0; the tenth below was fixed before them. Two fields on
R^1024, as in the chapter on target matrices. Symmetry: the gradient field 3 U tanh(U'x), U with 8
orthonormal columns, learned by 32 tanh units. Diagonality: x / 2, learned by as many units plus a
multiple of each coordinate. A field learns from 64 or 1024 examples with noise of deviation 0.3,
inputs N(0, I), in 1,000 steps of Adam at 0.003, 64 examples a step. The penalty is the squared
spectral norm of the Jacobian less its target, at 16 of them, from three Lanczos steps. Its strength
is a multiple, 0.1, 1, 10, 100 or 1,000, of what weighs as much as the error at the first step: the
one with the least error on 64 further noisy examples. Seeds 1, 2, 3, each with its own field, data
and weights; without the penalty, and with it.

Test points are 200 new ones without noise, and the Jacobian at the first 32 is computed in full.
How far it is from the structure: the Frobenius norm of J - J', or of what is off the diagonal, over
that of J. The claim is compared on each structure, number of examples and seed twice: the penalty
brings this distance below a tenth, and it lowers the error. Normal 95 % intervals over points,
paired where there are two networks. Added after the first run, and no part of the claim: the norm
of the Jacobian itself.
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

STRUCTURES: tuple[Literal["symmetry"], Literal["diagonality"]] = ("symmetry", "diagonality")
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


def trained(structure: str, multiple: float, known: Points, seed: int, updates: int) -> Network:
    """A field that learned from the known points; multiple 0 is no penalty."""
    with torch.random.fork_rng():
        torch.manual_seed(mixed(seed, 2))
        model = Network(known.x.shape[1], HIDDEN, scaled=structure == "diagonality")
    penalty = SpectralTarget("jacobian", structure, "lanczos", 3)  # type: ignore[arg-type]
    adam, draw = torch.optim.Adam(model.parameters(), lr=3e-3), Generator().manual_seed(seed)
    strength = None
    for _ in range(updates):
        rows = torch.randperm(len(known.x), generator=draw)[:BATCH]
        loss = error(model, Points(known.x[rows], known.y[rows])).mean()
        if multiple:
            amount = penalty(model, known.x[rows[:PENALIZED]], generator=draw).penalty.mean()
            strength = strength or multiple * float((loss / amount).detach())
            loss = loss + strength * amount
        adam.zero_grad()
        loss.backward()
        adam.step()
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
    structure: str, count: int, seed: int, dimension: int, updates: int
) -> Iterator[dict[str, object]]:
    """One row for each network: without the penalty, then with each strength."""
    draw = Generator().manual_seed(mixed(seed, 12))
    field = truth(structure, dimension, draw)
    known, valid = (points(field, size, dimension, 0.3, draw) for size in (count, BATCH))
    test = points(field, TESTED, dimension, 0.0, draw)
    models = {m: trained(structure, m, known, seed, updates) for m in (0.0, *MULTIPLES)}
    judged = {m: float(error(model, valid).mean()) for m, model in models.items()}
    chosen = min(MULTIPLES, key=judged.__getitem__)
    plain = error(models[0.0], test)
    for multiple, model in models.items():
        (off, sizes), wrong = apart(model, structure, test.x[:WHOLE]), error(model, test)
        distance, closest, farthest = interval(off)
        saved, least, most = interval(plain - wrong)
        yield {
            "structure": structure, "examples": count, "seed": seed, "value_varied": multiple,
            "selected": multiple in (0.0, chosen), "validation_error": judged[multiple],
            "error": float(wrong.mean()), "distance": distance, "distance_low": closest,
            "distance_high": farthest, "jacobian": float(sizes.mean()), "saved": saved,
            "saved_low": least, "saved_high": most,
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
