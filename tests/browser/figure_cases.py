"""The live figures that the browser tests open, on small networks, with settings to try."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch

from curvlab.interactive import Figure, digit_curvature, krylov_stepper, local_landscape
from curvlab.networks import MLP


class Case(NamedTuple):
    figure: Figure
    module: ModuleType
    settings: list[Mapping[str, Any]]


def krylov() -> Case:
    torch.manual_seed(0)
    model = MLP((30, 24, 5), "relu")
    figure = krylov_stepper.figure(model, 2 * torch.randn(1, 30), torch.tensor([1]), most=40)
    settings = [
        {"steps": 3, "start": "gradient"},
        {"steps": 40, "spectrum": "tie"},
        {"steps": 40, "spectrum": "cluster", "reorthogonalize": False},
        {"steps": 1},
    ]
    return Case(figure, krylov_stepper, settings)


def digit() -> Case:
    torch.manual_seed(0)
    nets = {"Plain": MLP((784, 16, 10)), "Smooth": MLP((784, 12, 10), "tanh")}
    with torch.no_grad():
        for net in nets.values():
            for p in net.parameters():
                p.mul_(2)
    x, y = torch.rand(3, 1, 28, 28), torch.tensor([3, 1, 4])
    settings = [
        {"digit": "1", "direction": "first", "distance": -2.0},
        {"digit": "2", "direction": "second", "distance": 3.0},
        {"distance": 0.0},
    ]
    return Case(digit_curvature.figure(nets, x, y), digit_curvature, settings)


def landscape() -> Case:
    settings = [
        {"ball": "linf", "radius": 0.2, "x": 0.6, "y": 0.45},
        {"regularizer": "Hessian norm", "strength": 2, "label": "1"},
        {"regularizer": "CURE", "strength": 4, "ball": "linf", "radius": 0.01},
        {"x": 1.0, "y": 0.8, "radius": 0.1},
    ]
    return Case(local_landscape.figure(), local_landscape, settings)


CASES: dict[str, Callable[[], Case]] = {
    "krylov-stepper": krylov,
    "digit-curvature": digit,
    "local-landscape": landscape,
}
