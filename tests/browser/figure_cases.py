"""The live figures that the browser tests open, on small networks, with settings to try."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import methods_map
import torch

from curvlab.interactive import (
    Figure,
    benchmark_explorer,
    certificate_bracket,
    confidence_weights,
    digit_curvature,
    kernels,
    krylov_stepper,
    local_landscape,
    predict,
    probe_histogram,
    regularizer_map,
    smoothing,
    trust_region,
)
from curvlab.networks import MLP


class Case(NamedTuple):
    figure: Figure
    module: ModuleType
    settings: list[Mapping[str, Any]]


def krylov() -> Case:
    torch.manual_seed(2)
    model = MLP((30, 24, 5))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    figure = krylov_stepper.figure(
        model, 2 * torch.randn(1, 30), torch.tensor([1]), most=40, values={"steps": 30}
    )
    settings = [
        {"steps": 3, "start": "gradient"},
        {"steps": 40, "spectrum": "tie"},
        {"steps": 40, "spectrum": "cluster", "reorthogonalize": False},
        {"steps": 34, "reorthogonalize": False},
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


def trust() -> Case:
    settings = [
        {"ball": "linf", "angle": 90, "along": 3.0, "across": 0.5, "steps": 1},
        {"across": 3.0, "angle": 0, "radius": 3.0},
        {"across": -3.0, "angle": 180, "radius": 0.2, "steps": 8, "needed": 3.0},
    ]
    return Case(trust_region.figure(), trust_region, settings)


def confidence() -> Case:
    rng = torch.Generator().manual_seed(0)
    odds = {f"epoch {k}": k + (1 + k) * torch.randn(200, generator=rng) for k in range(5)}
    settings = [{"epoch": 4, "weight": name} for name in confidence_weights.WEIGHTS]
    figure = confidence_weights.figure(odds, values={"epoch": 2})
    return Case(figure, confidence_weights, settings)


def segments() -> Case:
    torch.manual_seed(0)
    figure = kernels.figure(MLP((30, 16, 3), "tanh"), torch.randn(1, 30), torch.tensor([2]))
    settings = [{"measure": name, "direction": "2", "length": 3.0} for name in kernels.KERNELS]
    return Case(figure, kernels, [*settings, {"alpha": 0.95, "length": 0.1}])


def bracket() -> Case:
    images = [
        certificate_bracket.Image("a 7 against 9", 6.2, 3.1, 0.9, 12.0, 2.4),
        certificate_bracket.Image("a 4 against 9", 0.3, 2.1, 1.9, 9.0, 0.16),
    ]
    settings = [
        {"image": "1"},
        {"curvature": 1.0, "margin": 1.0},
        {"curvature": -1.0, "slope": 1.0, "margin": -1.0},
    ]
    return Case(certificate_bracket.figure(images), certificate_bracket, settings)


def probes() -> Case:
    torch.manual_seed(0)
    figure = probe_histogram.figure(MLP((20, 16, 10), "tanh"), torch.randn(1, 20))
    settings = [
        {"law": "rademacher", "spectrum": "1"},
        {"law": "sphere", "spectrum": "3", "probes": 7},
        {"law": "rademacher", "probes": 32},
        {"law": "sphere", "spectrum": "2"},
    ]
    return Case(figure, probe_histogram, settings)


def blur() -> Case:
    settings = [
        {"shape": "half", "x": 1.0},
        {"shape": "stripes", "width": 0.3, "sigma": 0.1},
        {"sigma": 2.0, "width": 2.0, "x": -4.0},
    ]
    return Case(smoothing.figure(), smoothing, settings)


def explorer() -> Case:
    axes = [
        benchmark_explorer.Axis("clean", "clean accuracy", "high", True),
        benchmark_explorer.Axis("robust", "accuracy under pgd, l2 1.5", "high", True),
        benchmark_explorer.Axis("cost", "seconds for each training step", "low", False),
        benchmark_explorer.Axis("certified", "certified accuracy, l2 0.25", "high", True),
    ]
    rng = torch.Generator().manual_seed(0)
    networks = [
        benchmark_explorer.Network(
            f"{data}, cnn, softplus",
            method,
            f"{method} (seed {seed})",
            dict(
                zip(("clean", "robust", "cost"), torch.rand(3, generator=rng).tolist(), strict=True)
            )
            | ({"certified": 0.3 + seed / 10} if (data, method) == ("mnist", "cure") else {}),
        )
        for data in ("mnist", "fashion-mnist")
        for method in ("plain", "input-gradient", "hessian-norm", "cure", "pgd", "trades")
        for seed in (1, 2)
    ]
    settings = [
        {"across": "cost"},
        {"up": "certified"},
        {"cell": "fashion-mnist, cnn, softplus", "up": "certified"},
        {"cell": "fashion-mnist, cnn, softplus"},
        {"up": "clean"},
    ]
    held = benchmark_explorer.state(networks, axes)
    return Case(benchmark_explorer.figure(held), benchmark_explorer, settings)


def guess() -> Case:
    settings = [
        {"guess": 80},
        {"guess": 20, "shown": True},
        {"guess": 97, "shown": True},
    ]
    figure = predict.figure("How many?", 3.72e10, 1e3, 1e15, unit="products", log=True)
    return Case(figure, predict, settings)


def overview() -> Case:
    settings = [
        {"method": "SpectralTarget"},
        {"method": "InputGradient", "order": "cost"},
        {"method": "KrylovAdversary", "order": "kind"},
    ]
    return Case(methods_map.figure(), regularizer_map, settings)


CASES: dict[str, Callable[[], Case]] = {
    "predict": guess,
    "krylov-stepper": krylov,
    "digit-curvature": digit,
    "local-landscape": landscape,
    "trust-region": trust,
    "confidence-weights": confidence,
    "kernels": segments,
    "certificate-bracket": bracket,
    "probe-histogram": probes,
    "smoothing": blur,
    "benchmark-explorer": explorer,
    "regularizer-map": overview,
}
