"""What a training step computes and keeps, counted rather than timed."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from curvlab.figures.style import BLUE, GRAY, WIDTH
from curvlab.networks import MLP
from curvlab.objectives import PgdTraining, Plain
from curvlab.penalties import Cure, GradientFiniteDifference, HessianNorm, InputGradient
from curvlab.training import Penalty


class Tally(NamedTuple):
    """What one step did for each example."""

    products: float  # multiplications in matrix products and convolutions
    kept: float  # numbers kept for backward passes, weights left out


class Multiplications(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the multiplications of every product that runs inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            # a multiplication and an addition are two of PyTorch's operations
            self.total += count(*args, **(kwargs or {}), out_val=out) // 2
        return out


def multiplications(run: Callable[[], object]) -> int:
    """The multiplications in the products of one call.

    >>> multiplications(lambda: torch.rand(2, 3) @ torch.rand(3, 4))
    24
    """
    with Multiplications() as counter:
        run()
    return int(counter.total)


def tally(model: nn.Module, penalty: Penalty, x: Tensor, y: Tensor, strength: float = 0.1) -> Tally:
    """Multiplications and kept numbers of one training step; a tensor kept twice counts once.

    >>> from curvlab.objectives import Plain
    >>> x, y = torch.rand(4, 3), torch.tensor([0, 1, 0, 1])
    >>> tally(nn.Linear(3, 2), Plain(), x, y).products  # forward 6, weights 6
    12.0
    """
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor  # held, so that no address is used twice
        return tensor

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        Multiplications() as counter,
    ):
        terms = penalty(model, x, y)
        objective = (terms.loss + strength * terms.penalty).mean()
        torch.autograd.backward(objective, inputs=trained)
    numbers = sum(t.untyped_storage().nbytes() / t.element_size() for t in kept.values())
    return Tally(counter.total / len(x), numbers / len(x))


def methods(steps: int) -> Mapping[str, Penalty]:
    """What the cost figure compares; `steps` products or attack steps where a method has some."""
    return {
        "plain": Plain(),
        "input gradient": InputGradient(),
        "finite difference": GradientFiniteDifference(),
        "CURE": Cure(),
        f"Hessian norm, {steps} products": HessianNorm(method="power", steps=steps),
        f"PGD-{steps}": PgdTraining(0.1, steps=steps),
    }


def predicted(steps: int, first: float) -> list[float]:
    """Products of a step in forward passes, the first layer's share being `first`."""
    pairs = [(3, -1), (6, -1), (7, -2), (12, -2), (12 + 2 * steps, -4), (3 + 2 * steps, -1)]
    return [whole + part * first for whole, part in pairs]


def plot_costs(steps: int, activation: str, device: torch.device) -> Figure:
    """Counted products (bars) and the formula (marks) of each method, in plain steps."""
    generator = torch.Generator().manual_seed(0)
    sizes = (64, 48, 48, 10)
    model = MLP(sizes, activation).to(device)
    x = torch.rand(8, 64, generator=generator).to(device)
    y = (torch.arange(8) % 10).to(device)
    chosen = methods(steps)
    layers = [a * b for a, b in pairwise(sizes)]
    formula = predicted(steps, layers[0] / sum(layers))
    counted = [tally(model, method, x, y).products / sum(layers) for method in chosen.values()]
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
    rows = range(len(chosen))
    axes.barh(list(rows), [c / counted[0] for c in counted], color=BLUE, alpha=0.5, label="counted")
    axes.plot([f / formula[0] for f in formula], rows, "D", color=GRAY, label="formula")
    for row, count in enumerate(counted):
        axes.text(0.1, row, f"{count / counted[0]:.2f}", va="center")
    axes.set_yticks(list(rows), list(chosen))
    axes.set(xlabel="products of a step, in plain steps", xlim=(0, 14))
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    return figure
