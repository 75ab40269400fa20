"""The networks of the plane: two moons, each regularizer at four strengths, small enough to travel.

`python -m curvlab.interactive.two_moons` trains them again (a minute) and writes them beside this
file; the first layer starts four times larger, as the moons are a quarter of their usual size.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from curvlab.data import Examples, two_moons
from curvlab.interactive.local_landscape import Trained, state
from curvlab.networks import MLP
from curvlab.objectives import Plain
from curvlab.penalties import Cure, HessianNorm, InputGradient
from curvlab.training import fit

STORED = "two_moons.json"

REGULARIZERS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "input gradient": (InputGradient(), (0.003, 0.01, 0.03, 0.1)),
    "Hessian norm": (HessianNorm(), (0.001, 0.003, 0.005, 0.01)),
    "CURE": (Cure(step=0.05, direction="gradient"), (0.001, 0.003, 0.01, 0.03)),
}


def data() -> Examples:
    """The points that train every network of the plane."""
    return two_moons(240, 0.1, torch.Generator().manual_seed(0))


def train(penalty: Any, strength: float, epochs: int = 150) -> MLP:
    """One network, from the same start and in the same order of examples as every other."""
    torch.manual_seed(1)
    model = MLP((2, 24, 24, 2), "softplus", beta=4.0)
    layer = model[1]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.mul_(4)
        layer.bias.copy_(0.3 * torch.randn(24) - layer.weight.sum(1) / 2)
    fit(
        model,
        data(),
        penalty,
        strength=strength,
        epochs=epochs,
        seed=0,
        batch_size=60,
        learning_rate=1e-2,
        quiet=True,
    )
    return model


def train_all() -> dict[str, Any]:
    """The state of the local landscape, trained anew."""
    networks = [Trained("plain", 0.0, train(Plain(), 0.0))]
    for name, (penalty, strengths) in REGULARIZERS.items():
        networks += [Trained(name, s, train(penalty, s)) for s in strengths]
    return dict(state(networks, data()))


if __name__ == "__main__":
    text = json.dumps(train_all(), indent=0, sort_keys=True) + "\n"
    Path(__file__).with_name(STORED).write_text(text, encoding="utf-8")
