"""Training with a penalty: seeded, shown, and resumed after a kill with the same final weights."""

import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from curvlab.data import Examples
from curvlab.files import write_atomic
from curvlab.losses import margin_cross_entropy

__all__ = ["History", "TrainingError", "fit"]


class Parts(Protocol):
    """What a penalty returns for a batch: two tensors of shape `(B,)`."""

    @property
    def loss(self) -> Tensor: ...
    @property
    def penalty(self) -> Tensor: ...


class Penalty(Protocol):
    """A penalty or an objective of `curvlab.penalties` and `curvlab.objectives`."""

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        generator: torch.Generator | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = margin_cross_entropy,
    ) -> Parts: ...


class TrainingError(RuntimeError):
    """Training cannot go on, or its checkpoint belongs to another run."""


class History(NamedTuple):
    """The mean loss and penalty of each epoch; steps; the seconds they took, checkpoints left out
    and earlier sittings included."""

    loss: list[float]
    penalty: list[float]
    steps: int
    seconds: float


def fit(
    model: nn.Module,
    data: Examples,
    penalty: Penalty,
    *,
    strength: float,
    epochs: int,
    seed: int,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    loss: Callable[[Tensor, Tensor], Tensor] = margin_cross_entropy,
    checkpoint: str | Path | None = None,
    every: float = 20.0,
    device: str | torch.device | None = None,
    quiet: bool = False,
) -> History:
    """Minimizes the mean of `loss + strength * penalty` by Adam with a cosine schedule to zero.

    `seed` decides the order of the examples and the penalty's randomness, not the initial weights:
    those are the model's. The order is drawn on the CPU whatever the device. With a `checkpoint`
    the run is saved `every` so many seconds and at its end, and a second call with the same
    arguments goes on from there to the same final weights, or returns at once.

    >>> import torch
    >>> from curvlab import data, networks
    >>> from curvlab.objectives import Plain
    >>> _ = torch.manual_seed(0)
    >>> model = networks.MLP((64, 16, 10))
    >>> history = fit(model, data.load("digits", "train"), Plain(), strength=0.0, epochs=2, seed=0,
    ...               quiet=True)
    >>> history.steps, history.loss[1] < history.loss[0]
    (20, True)
    """
    check_arguments(data, strength, epochs, batch_size, learning_rate)
    place = torch.device(device) if device is not None else next(model.parameters()).device
    model.to(place).train()
    x, y = data.x.to(place), data.y.to(place)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    steps = math.ceil(len(y) / batch_size)
    state = State(model, optimizer, steps, epochs)
    path = Path(checkpoint) if checkpoint is not None else None
    identity = {} if path is None else run_identity(
        model, data, penalty, strength=strength, epochs=epochs, seed=seed,
        batch_size=batch_size, learning_rate=learning_rate,
    )
    if path is not None and path.exists():
        state.restore(path, identity)
    progress = Progress(state, quiet)
    saved = time.perf_counter()
    while state.step < state.total:
        started = time.perf_counter()
        epoch, within = divmod(state.step, steps)
        if within == 0 or state.order is None:
            shuffle = torch.Generator().manual_seed(mixed(seed, 0, epoch))
            state.order = torch.randperm(len(y), generator=shuffle).to(place)
        batch = state.order[within * batch_size : (within + 1) * batch_size]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * state.step / state.total))
        draw = torch.Generator(place).manual_seed(mixed(seed, 1, state.step))
        terms = penalty(model, x[batch], y[batch], generator=draw, loss=loss)
        objective = (terms.loss + strength * terms.penalty).mean()
        if not math.isfinite(objective.item()):
            raise TrainingError(
                f"requires a finite loss. Found {objective.item()} at step {state.step} "
                f"(epoch {epoch}, batch {within}): mean loss {terms.loss.mean().item():.4g}, "
                f"mean penalty {terms.penalty.mean().item():.4g}."
            )
        optimizer.zero_grad(set_to_none=True)
        # the weights alone: a penalty's graph also reaches the images, whose gradient nobody needs
        torch.autograd.backward(objective, inputs=trained)
        optimizer.step()
        state.note(epoch, terms, len(batch))
        state.seconds += time.perf_counter() - started
        finished = state.step == state.total
        if path is not None and (finished or time.perf_counter() - saved >= every):
            state.save(path, identity)
            saved = time.perf_counter()
        progress.show()
    model.eval()
    return state.history()


def check_arguments(
    data: Examples, strength: float, epochs: int, batch_size: int, learning_rate: float
) -> None:
    if len(data.x) != len(data.y) or not len(data.y):
        raise ValueError(
            f"requires as many labels as images, and some. Found {len(data.y)} and {len(data.x)}."
        )
    if not 0 <= strength < math.inf:
        raise ValueError(f"requires a finite strength of at least 0. Found {strength}.")
    if epochs < 1 or batch_size < 1:
        raise ValueError(
            f"requires at least one epoch and one example a batch. Found {epochs} and {batch_size}."
        )
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"requires a finite positive learning rate. Found {learning_rate}.")


def mixed(*parts: int) -> int:
    """One 63-bit seed from several numbers, so that no two steps share a stream."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def named(thing: object) -> str:
    """A frozen dataclass by its fields, a function by its name: the same in every process."""
    if dataclasses.is_dataclass(thing):
        return repr(thing)
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def run_identity(
    model: nn.Module, data: Examples, penalty: Penalty, **numbers: Any
) -> dict[str, Any]:
    """What a checkpoint must agree with: hyper-parameters, network, examples."""
    digest = hashlib.sha256(data.x[::101].cpu().contiguous().numpy().tobytes())
    digest.update(data.y.cpu().contiguous().numpy().tobytes())
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    return {
        "penalty": named(penalty),
        "network": str(model),
        "weights": shapes,
        "examples": f"{len(data.y)}:{digest.hexdigest()}",
        **numbers,
    }


class State:
    """All that changes while a network trains."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, epochs: int
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.steps = steps
        self.total = steps * epochs
        self.step = 0
        self.seconds = 0.0
        self.sums = [[0.0, 0.0, 0] for _ in range(epochs)]
        self.order: Tensor | None = None

    def note(self, epoch: int, terms: Parts, count: int) -> None:
        self.step += 1
        sums = self.sums[epoch]
        sums[0] += float(terms.loss.detach().sum())
        sums[1] += float(terms.penalty.detach().sum())
        sums[2] += count

    def history(self) -> History:
        loss, penalty = ([row[i] / max(row[2], 1) for row in self.sums] for i in (0, 1))
        return History(loss, penalty, self.step, self.seconds)

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        for name, value in tensors.items():
            if not value.isfinite().all():
                raise TrainingError(f"requires finite weights. Found {name} at step {self.step}.")
        numbers = {"step": self.step, "seconds": self.seconds, "sums": self.sums}
        metadata = {"run": json.dumps(identity), "state": json.dumps(numbers)}
        write_atomic(path, save({k: v.contiguous() for k, v in tensors.items()}, metadata))

    def restore(self, path: Path, identity: dict[str, Any]) -> None:
        try:
            with safe_open(path, "pt") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            found, numbers = json.loads(metadata["run"]), json.loads(metadata["state"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise TrainingError(
                f"requires a checkpoint written by fit. Found {path}: {error}. Delete it to start "
                "again."
            ) from error
        wrong = [key for key, value in identity.items() if found.get(key) != value]
        if wrong:
            raise TrainingError(
                f"requires the checkpoint of this run. Found {path} with another "
                + ", ".join(f"{key} ({found.get(key)!r}, not {identity[key]!r})" for key in wrong)
            )
        self.step, self.seconds, self.sums = numbers["step"], numbers["seconds"], numbers["sums"]
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".", 2)
                moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


class Progress:
    """A line that renews itself on a terminal, a line an epoch elsewhere."""

    def __init__(self, state: State, quiet: bool) -> None:
        self.state = state
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()
        self.shown = -math.inf

    def show(self) -> None:
        state = self.state
        ended = state.step % state.steps == 0
        if self.quiet or not (ended or (self.terminal and time.perf_counter() - self.shown > 0.5)):
            return
        self.shown = time.perf_counter()
        epoch = (state.step - 1) // state.steps
        loss, penalty, count = state.sums[epoch]
        left = state.seconds / state.step * (state.total - state.step)
        line = (
            f"epoch {epoch + 1}/{len(state.sums)}, step {state.step}/{state.total}, "
            f"loss {loss / count:.4f}, penalty {penalty / count:.4g}, {left:.0f} s left"
        )
        print(f"\r{line:<90}" if self.terminal else line, end="\n" if ended else "",
              file=sys.stderr, flush=True)
