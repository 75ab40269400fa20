"""Training ends at the same weights whether it is disturbed or not, and stops on nonsense."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from curvlab import data
from curvlab.data import Examples
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP
from curvlab.training import TrainingError, fit


class Parts(NamedTuple):
    loss: torch.Tensor
    penalty: torch.Tensor


@dataclass(frozen=True)
class RandomDirection:
    """The squared slope of the loss along a random direction: needs the generator each step."""

    def __call__(self, model, x, y, *, generator=None, loss=margin_cross_entropy):
        x = x.requires_grad_()
        values = loss(model(x), y)
        (g,) = torch.autograd.grad(values.sum(), x, create_graph=True)
        v = torch.randn(x.shape, generator=generator, device=x.device)
        return Parts(values, (g * v).flatten(1).sum(1).square())


@dataclass(frozen=True)
class PoisonedAt:
    """NaN from the given call on."""

    calls: list
    step: int

    def __call__(self, model, x, y, *, generator=None, loss=margin_cross_entropy):
        self.calls.append(1)
        values = loss(model(x), y)
        bad = float("nan") if len(self.calls) > self.step else 0.0
        return Parts(values, torch.full_like(values, bad))


DIGITS = data.load("digits", "train")


def network(seed=0):
    torch.manual_seed(seed)
    return MLP((64, 12, 10))


def train(model, checkpoint=None, *, seed=5, strength=0.3, every=0.0, epochs=3, examples=DIGITS):
    return fit(model, examples, RandomDirection(), strength=strength, epochs=epochs, seed=seed,
               checkpoint=checkpoint, every=every, quiet=True)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(),
                                                 strict=True))


def test_it_learns_and_reports():
    model = network()
    history = train(model, epochs=40, strength=0.0)
    x, y = data.load("digits", "test")
    assert float((model(x).argmax(1) == y).float().mean()) > 0.85
    assert history.steps == 400
    assert len(history.loss) == len(history.penalty) == 40
    assert history.loss[-1] < 0.3 * history.loss[0]
    assert history.seconds > 0
    assert not model.training


def test_one_seed_one_result():
    first, second, third = network(), network(), network()
    train(first)
    train(second)
    train(third, seed=6)
    assert same(first, second)
    assert not same(first, third)


def test_every_example_is_seen_once_an_epoch():
    seen = []

    def watch(model, x, y, *, generator=None, loss=margin_cross_entropy):
        seen.append(x.flatten(1).detach())
        values = loss(model(x), y)
        return Parts(values, torch.zeros_like(values))

    fit(network(), DIGITS, watch, strength=1.0, epochs=1, seed=0, batch_size=100, quiet=True)
    assert [len(batch) for batch in seen] == [100] * 11 + [97]
    assert len(torch.cat(seen).unique(dim=0)) == len(DIGITS.y)


def test_the_strength_multiplies_the_penalty():
    weak, strong = network(), network()
    weak_history = train(weak, strength=0.0, epochs=5)
    strong_history = train(strong, strength=10.0, epochs=5)
    assert strong_history.penalty[-1] < 0.5 * weak_history.penalty[-1]


VICTIM = """
import sys
sys.path.insert(0, {folder!r})
from test_training import network, train
from safetensors.torch import save_file
model = network(seed=int(sys.argv[2]))
print("ready", flush=True)
train(model, sys.argv[1])
save_file(model.state_dict(), sys.argv[1] + ".done")
"""


def test_killed_again_and_again_it_ends_at_the_same_weights(tmp_path):
    """A real process, really killed by SIGKILL at arbitrary moments, started again each time."""
    undisturbed = network()
    train(undisturbed)
    checkpoint = tmp_path / "run.safetensors"
    code = VICTIM.format(folder=os.path.dirname(__file__))
    kills = 0
    for attempt in range(40):
        # Another initial network each time: what counts is what the checkpoint holds.
        command = [sys.executable, "-c", code, str(checkpoint), "0" if not kills else "9"]
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout.readline() == "ready\n"
            while victim.poll() is None and kills < 3:
                now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
                if now > before:
                    time.sleep(0.003 * attempt)
                    victim.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.0005)
        if victim.returncode == 0:
            break
        assert victim.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 1, "the run was never killed"
    weights = load_file(f"{checkpoint}.done")
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(weights[name], value), name


def test_a_kill_while_writing_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoint = tmp_path / "run.safetensors"
    undisturbed, victim = network(), network()
    train(undisturbed)
    writes = []

    def interrupted(source, target):
        writes.append(target)
        if len(writes) == 12:
            raise KeyboardInterrupt
        replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(victim, checkpoint)
    monkeypatch.setattr(os, "replace", replace)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
    resumed = network(seed=9)
    history = train(resumed, checkpoint)
    assert same(resumed, undisturbed)
    assert history.steps == 30


def test_a_finished_run_is_not_redone(tmp_path):
    first, second = network(), network(seed=9)
    done = train(first, tmp_path / "run.safetensors")
    again = train(second, tmp_path / "run.safetensors")
    assert same(first, second)
    assert again == done


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 6}, "seed"),
        ({"strength": 0.5}, "strength"),
        ({"epochs": 4}, "epochs"),
        ({"examples": Examples(DIGITS.x.flip(0), DIGITS.y)}, "examples"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, word):
    train(network(), tmp_path / "run.safetensors")
    with pytest.raises(TrainingError, match=f"another {word}"):
        train(network(), tmp_path / "run.safetensors", **change)
    with pytest.raises(TrainingError, match="another network"):
        train(MLP((64, 13, 10)), tmp_path / "run.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_foreign_file_is_refused_and_left(tmp_path, content):
    path = tmp_path / "run.safetensors"
    if content is None:
        save_file({"a": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(TrainingError, match="requires a checkpoint written by fit"):
        train(network(), path)
    assert path.read_bytes() == before


def test_nan_stops_and_names_the_step(tmp_path):
    with pytest.raises(TrainingError, match=r"Found nan at step 13 \(epoch 1, batch 3\)"):
        fit(network(), DIGITS, PoisonedAt([], 13), strength=1.0, epochs=2, seed=0, quiet=True,
            checkpoint=tmp_path / "run.safetensors", every=0)
    kept = load_file(tmp_path / "run.safetensors")
    assert all(value.isfinite().all() for value in kept.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": -1.0}, "strength of at least 0. Found -1.0"),
        ({"strength": float("nan")}, "finite strength"),
        ({"epochs": 0}, "at least one epoch"),
        ({"batch_size": 0}, "one example a batch"),
        ({"learning_rate": 0.0}, "positive learning rate"),
    ],
)
def test_bad_numbers_are_refused(change, message):
    arguments = {"strength": 1.0, "epochs": 1, "seed": 0, "quiet": True, **change}
    with pytest.raises(ValueError, match=message):
        fit(network(), DIGITS, RandomDirection(), **arguments)


@pytest.mark.parametrize("count", [0, 5])
def test_bad_examples_are_refused(count):
    with pytest.raises(ValueError, match="as many labels as images"):
        train(network(), examples=Examples(DIGITS.x[:count], DIGITS.y[: count // 2]))


def test_progress_is_shown_unless_quiet(capfd):
    fit(network(), DIGITS, RandomDirection(), strength=0.1, epochs=2, seed=0)
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2, step 10/20, loss ")
    assert lines[1].endswith("0 s left")
    train(network())
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_the_cpu():
    class Plain:
        def __call__(self, model, x, y, *, generator=None, loss=margin_cross_entropy):
            values = loss(model(x), y)
            return Parts(values, torch.zeros_like(values))

    here, there = network(), network()
    fit(here, DIGITS, Plain(), strength=0.0, epochs=2, seed=0, quiet=True)
    fit(there, DIGITS, Plain(), strength=0.0, epochs=2, seed=0, quiet=True, device="cuda")
    for a, b in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.allclose(a, b.cpu(), atol=1e-4)
