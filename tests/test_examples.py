"""The worked examples do what they say, run as a reader runs them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from curvlab.networks import MLP

SCRIPT = Path(__file__).resolve().parent.parent / "examples/distributed.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("distributed_example", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torchrun(saved: Path, *arguments: str) -> dict[str, torch.Tensor]:
    """Run the example in two processes; the weights it saved."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, "--nproc-per-node", "2", str(SCRIPT), "--save", str(saved), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("step ") == 3
    return torch.load(saved, weights_only=True)


def test_two_processes_train_like_one(example: ModuleType, tmp_path: Path) -> None:
    arguments = ("--steps", "3", "--chunks", "2", "--precision", "float64")
    two = torchrun(tmp_path / "weights.pt", *arguments)
    one = example.train(3, 1, "float64")
    torch.manual_seed(0)
    start = dict(MLP((64, 32, 10)).named_parameters())
    for name, weight in one.items():
        moved = weight - start[name].double()
        assert moved.abs().max() > 1e-3
        assert (two[name] - weight).norm() <= 1e-13 * moved.norm()


def test_bfloat16_trains_like_float32(example: ModuleType) -> None:
    torch.manual_seed(0)
    start = MLP((64, 32, 10)).state_dict()
    exact, rounded = (example.train(3, 2, precision) for precision in ("float32", "bfloat16"))
    for name, weight in exact.items():
        moved, other = weight - start[name], rounded[f"network.{name}"] - start[name]
        assert 0 < (other - moved).norm() <= 0.05 * moved.norm()
