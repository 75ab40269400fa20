"""Time and memory of one training step of every public penalty and objective, beside a plain step.

    python experiments/costs.py    into the package's tables (two minutes, on an idle machine)

Each method is called as the page on methods calls it, with strength 1, on the study's convolutional
network with softplus units and its batches of MNIST, and timed as the study times its own: steps
alternate with plain ones, and the median of their ratios counts, with its quartiles.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from curvlab import data
from curvlab.files import write_atomic
from curvlab.results import FOLDER
from curvlab.study import Study, beside_plain

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tools"))

import methods  # noqa: E402

CELL = "mnist/cnn/softplus"


def rows(
    study: Study, held: data.Examples, chosen: Iterable[methods.Method]
) -> Iterator[dict[str, Any]]:
    """One for each method that trains a classifier."""
    where = dict(zip(("data", "network", "activation"), CELL.split("/"), strict=True))
    for method in chosen:
        if methods.trains_classifiers(method):
            model = study.network(CELL, 0)
            found = beside_plain(study, model, held, methods.made(method.call), 1.0)
            yield {**where, "method": method.name, "call": method.call, **found, **study.machine}


def main(runs: Path) -> None:
    """Every method, then the table."""
    torch.set_num_threads(1)
    study, held = Study(HERE / "study.yaml", runs), data.load("mnist", "train")
    table = pd.DataFrame(rows(study, held, methods.METHODS))
    write_atomic(FOLDER / "steps.csv", table.to_csv(index=False).encode())
    print(table[["method", "relative", "low", "high"]].to_string(index=False))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    main(Path(os.environ.get("CURVLAB_RUNS", "runs")).resolve())
