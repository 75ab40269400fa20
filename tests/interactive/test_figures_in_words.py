"""The sentences and numbers of the figures that need little more than a formula."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import norm

from curvlab.bounds.radii import attack_radius, combined_radius, cure_interval, curvature_radius
from curvlab.bounds.smoothing import smoothing_constants
from curvlab.calculus import jacobian_operator
from curvlab.data import load
from curvlab.interactive import (
    benchmark_explorer,
    certificate_bracket,
    confidence_weights,
    kernels,
    probe_histogram,
    smoothing,
    trust_region,
)
from curvlab.interactive.certificate_bracket import Image, certified_images
from curvlab.networks import MLP
from curvlab.penalties import Cure

TRUST = dict(trust_region.VALUES)


@pytest.mark.parametrize("change", [{}, {"across": 2.5}, {"angle": 90}, {"across": -3.0}])
def test_the_cure_interval_is_that_of_bounds_and_holds_the_exact_length(change):
    values = TRUST | change
    q = trust_region.quadratic(values)
    low, exact, high = trust_region.interval(q, values["needed"])
    eigenvalues, vectors = torch.linalg.eigh(q.hessian)
    one = torch.ones(1, dtype=torch.float64)
    along = (q.gradient @ vectors[:, -1]).abs().view(1)
    truth = cure_interval(one, along, eigenvalues[-1:], values["needed"] * one)
    assert (low, high) == pytest.approx((truth.lower.item(), truth.upper.item()))
    assert low <= exact + 1e-9
    assert exact <= high + 1e-9
    assert q.gain(q.best("l2", exact)) == pytest.approx(values["needed"])


def test_frank_wolfe_climbs_a_convex_quadratic_and_may_stop_at_a_poor_vertex():
    values = TRUST | {"across": 0.5, "along": 3.0, "angle": 90, "ball": "linf"}
    q = trust_region.quadratic(values)
    gains = [q.gain(step) for step in trust_region.frank_wolfe(q, "linf", 1.0, 8)]
    assert all(a <= b + 1e-12 for a, b in pairwise(gains))
    assert gains[-1] < q.gain(q.best("linf", 1.0)) - 0.5


def test_smoothing_agrees_with_sampling_and_reaches_both_limits():
    values = {"shape": "band", "width": 0.6, "sigma": 0.6, "x": 0.3}
    z = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inside = ((0.3 + 0.6 * z).abs() < 0.6).double().mean().item()
    assert smoothing.blurred(values, np.array([0.3])).value[0] == pytest.approx(inside, abs=3e-3)
    slope, bend = smoothing_constants(0.6)
    assert abs(smoothing.blurred(values, np.zeros(1)).bend[0]) == pytest.approx(bend)
    half = smoothing.blurred(values | {"shape": "half"}, np.zeros(1))
    assert half.slope[0] == pytest.approx(slope)
    step = 1e-4
    x = np.array([0.3 - step, 0.3, 0.3 + step])
    for shape in ("half", "band", "stripes"):
        f = smoothing.blurred(values | {"shape": shape}, x)
        assert f.slope[1] == pytest.approx((f.value[2] - f.value[0]) / (2 * step), rel=1e-5)
        assert f.bend[1] == pytest.approx((f.slope[2] - f.slope[0]) / (2 * step), rel=1e-5)


def test_smoothing_certifies_the_half_line_exactly():
    values = {"shape": "half", "width": 1.0, "sigma": 0.7, "x": 0.9}
    assert "certifies 0.900; the sharp classifier's edge is 0.900 away" in smoothing.readout(
        {}, values
    )
    assert norm.cdf(0.9 / 0.7) == pytest.approx(smoothing.blurred(values, np.array([0.9])).value[0])


IMAGE = Image("a 3 against 8", 4.0, 1.5, 0.8, 3.0, 1.9)


def test_the_bracket_is_that_of_bounds():
    held = certificate_bracket.state([IMAGE])
    values = dict(certificate_bracket.VALUES) | {"curvature": -0.5, "margin": 0.3}
    found = certificate_bracket.radii(held, values)
    m, g, k, lip = (torch.tensor([v]) for v in (4 * 10**0.3, 1.5, 0.8 * 10**-0.5, 3.0))
    assert found.by_curvature == pytest.approx(curvature_radius(m, g, k).item(), rel=1e-6)
    assert found.combined == pytest.approx(combined_radius(m, g, k, lip).item(), rel=1e-6)
    assert found.attack == pytest.approx(attack_radius(m, g, k).item(), rel=1e-6)
    assert found.combined >= max(found.by_curvature, found.by_lipschitz) - 1e-12


def test_the_bracket_holds_on_a_network():
    torch.manual_seed(0)
    model = MLP((4, 12, 3), "tanh").double()
    x = torch.randn(40, 4, dtype=torch.float64)
    y = model(x).argmax(1)
    images = certified_images(model, x[:6], y[:6])
    held = certificate_bracket.state(images)
    for i, image in enumerate(images):
        found = certificate_bracket.radii(held, {**certificate_bracket.VALUES, "image": str(i)})
        assert 0 < found.combined <= image.attack * 1.0001
        assert "PGD found one at" in certificate_bracket.readout(
            held, {**certificate_bracket.VALUES, "image": str(i)}
        )
    with pytest.raises(ValueError, match="requires correct images"):
        certified_images(model, x[:1], (y[:1] + 1) % 3)


def test_probes_are_unbiased_and_spread_as_the_formula_says():
    torch.manual_seed(0)
    model, x = MLP((8, 10, 5)), torch.randn(1, 8)
    held = probe_histogram.state(model, x)
    jacobian = jacobian_operator(model, x).matrix()[0]
    for spectrum in "0123":
        for law in ("gaussian", "rademacher", "sphere"):
            exact, estimates, predicted = probe_histogram.estimate(
                held, {"spectrum": spectrum, "law": law, "probes": 2}
            )
            assert exact == pytest.approx(float(jacobian.square().sum()), rel=2e-3)
            deviation = predicted / math.sqrt(len(estimates))
            assert abs(estimates.mean() - exact) <= 4 * deviation + 1e-9 * exact
            assert estimates.std() == pytest.approx(predicted, rel=0.25, abs=1e-6 * exact)
    words = probe_histogram.readout(held, {"spectrum": "1", "law": "rademacher", "probes": 1})
    assert "Their spread is 0; the formula says 0, 0%" in words


def test_confidence_weights_are_those_of_a_binary_rectifier_network():
    torch.manual_seed(0)
    model = MLP((3, 8, 2), "relu").double()
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.arange(20) % 2
    odds = confidence_weights.log_odds(model, x, y)
    p = model(x).softmax(1)[torch.arange(20), y]
    torch.testing.assert_close(odds.double().sigmoid(), p.detach(), atol=1e-6, rtol=0)
    rows = jacobian_operator(model, x).matrix()
    w = (rows[:, 0] - rows[:, 1]).flatten(1).norm(dim=1)
    measured = Cure(step=1e-6, squared=False, direction="gradient")(model, x, y).penalty / 1e-6
    weight = confidence_weights.WEIGHTS["hessian"][1](p.detach().numpy(), (1 - p).detach().numpy())
    np.testing.assert_allclose(measured.detach(), weight * (w**2).numpy(), rtol=1e-3, atol=1e-8)
    held = confidence_weights.state({"the start": odds})
    found = confidence_weights.measure(held, {"epoch": 0, "weight": "cross"})
    assert found.half == 10
    assert "After the start: median" in confidence_weights.readout(held, confidence_weights.VALUES)


def test_training_raises_confidence_and_narrows_the_pressure():
    torch.manual_seed(0)
    model, data = MLP((64, 16, 10), "relu"), load("digits", "train")
    odds = confidence_weights.through_training(model, data, epochs=30, images=200)
    assert list(odds)[:3] == ["0 epochs", "1 epoch", "2 epochs"]
    held = confidence_weights.state(odds)
    found = [confidence_weights.measure(held, {"epoch": k, "weight": "gradient"}) for k in (0, 30)]
    assert np.median(found[1].confidence) > np.median(found[0].confidence) + 0.2
    assert found[1].half < found[0].half
    last = {"epoch": 30, "weight": "hessian"}
    assert confidence_weights.readout(held, last).startswith("After 30 epochs: median confidence")
    with pytest.raises(ValueError, match="requires an epoch and at most"):
        confidence_weights.through_training(model, data, epochs=0)


@pytest.fixture(scope="module")
def segment():
    torch.manual_seed(0)
    return kernels.state(MLP((6, 16, 3), "tanh"), torch.randn(1, 6), torch.tensor([2]))


@pytest.mark.parametrize("measure", ["elle", "llr", "cure"])
@pytest.mark.parametrize("direction", ["0", "1", "2"])
def test_a_kernel_times_the_curvature_is_the_regularizer(segment, measure, direction):
    line = kernels.Line(segment["lines"][int(direction)], segment["reach"])
    scale = max(map(abs, line.held["bend"]))
    for length, alpha in ((0.5, 0.3), (2.0, 0.7)):
        values = {"measure": measure, "direction": direction, "length": length, "alpha": alpha}
        found = kernels.weighted(line, values)
        assert found == pytest.approx(kernels.direct(line, values), abs=1e-3 * scale * length**2)
        assert found != pytest.approx(kernels.weighted(line, values | {"length": 0.9 * length}))


def test_gradalign_is_the_part_across_for_short_segments(segment):
    line = kernels.Line(segment["lines"][2], segment["reach"])
    s = 0.02
    model = (s * line.held["across"][0]) ** 2 / (2 * segment["start"] ** 2)
    assert line.held["turn"][1] == pytest.approx(model, rel=0.1)
    assert segment["reach"] / (kernels.POINTS - 1) == pytest.approx(s)


AXES = [
    benchmark_explorer.Axis("a", "accuracy", "high", True),
    benchmark_explorer.Axis("c", "cost", "low", False),
]


def network(label, **values):
    return benchmark_explorer.Network("mnist", label, label, values)


def test_the_front_is_what_nothing_beats():
    networks = [
        network("best", a=0.9, c=3.0),
        network("cheap", a=0.5, c=1.0),
        network("beaten", a=0.5, c=2.0),
        network("equal", a=0.9, c=3.0),
        network("lacking", a=1.0),
    ]
    held = benchmark_explorer.state(networks, AXES)
    found = benchmark_explorer.choose(held, {"cell": "mnist", "across": "a", "up": "c"})
    assert [row["label"] for row in found.front] == ["best", "cheap", "equal"]
    assert len(found.shown) == 4
    words = benchmark_explorer.readout(held, {"cell": "mnist", "across": "a", "up": "c"})
    assert words.startswith("4 networks of mnist; 3 are on the Pareto front of accuracy and cost:")
    nothing = benchmark_explorer.readout(held, {"cell": "cifar", "across": "a", "up": "c"})
    assert nothing == "No network of cifar has both measured."


def test_the_study_as_shipped_can_be_explored():
    held = benchmark_explorer.studied()
    names = [axis["name"] for axis in held["axes"]]
    assert {"clean", "seconds"} <= set(names)
    assert all(row["method"] != "untrained" for row in held["rows"])
    assert benchmark_explorer.figure(held).alt


SMALL = {
    "accuracy": ("seed,attack,norm,epsilon,value", [
        ("plain,0", "clean,,0,0.99"), ("plain,0", "pgd,l2,1.5,0.2"), ("plain,0", "pgd,l2,0.5,0.9"),
        ("pgd,2", "clean,,0,0.98"), ("pgd,2", "pgd,l2,1.5,0.8"), ("pgd,2", "pgd,l2,0.5,0.95"),
        ("untrained,0", "clean,,0,0.1"),
    ]),
    "curvature": ("seed,quantity,statistic,value", [("plain,0", "Hessian spectral,median,3")]),
    "training": ("seed,epochs,steps,seconds", [("plain,0", "4,100,5"), ("pgd,2", "4,100,50")]),
    "certified": ("seed,certificate,epsilon,value", [
        ("pgd,2", "combined,0.25,0.4"), ("pgd,2", "combined,0.1,0.7"),
    ]),
}


def written(folder, *tables):
    for name in tables:
        columns, rows = SMALL[name]
        lines = [f"mnist,cnn,softplus,{method},1,{row}" for method, row in rows]
        head = f"data,network,activation,method,value_varied,{columns}"
        (folder / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")
    return benchmark_explorer.studied(folder)


def test_the_certified_axis_comes_from_its_table(tmp_path):
    held = written(tmp_path, *SMALL)
    assert [axis["name"] for axis in held["axes"]] == [
        "clean", "pgd l2 0.5", "pgd l2 1.5", "certified combined 0.1", "certified combined 0.25",
        "Hessian spectral", "seconds",
    ]
    values = {"cell": "mnist, cnn, softplus", "across": "certified combined 0.25", "up": "seconds"}
    assert benchmark_explorer.readout(held, values) == (
        "1 networks of mnist, cnn, softplus; 1 is on the Pareto front of certified accuracy, "
        "combined radius, l2 0.25 and seconds for each training step: pgd 2 (seed 1)."
    )


def test_the_certified_axis_is_there_and_empty_without_its_table(tmp_path):
    held = written(tmp_path, "accuracy", "curvature", "training")
    names = [axis["name"] for axis in held["axes"]]
    assert names[3] == "certified combined 0.25"
    values = {"cell": "mnist, cnn, softplus", "across": "clean", "up": names[3]}
    words = benchmark_explorer.readout(held, values)
    assert words == "No network of mnist, cnn, softplus has both measured."
    (axis,) = benchmark_explorer.still(held, values).axes
    assert [text.get_text() for text in axis.texts] == ["nothing measured"]
    assert not axis.lines


@pytest.mark.parametrize(("bytes_", "memory"), [("30,20", 1.5), (",", None)])
def test_the_axes_of_cost_are_the_same_for_every_seed(tmp_path, bytes_, memory):
    head = "data,network,activation,method,value_varied,relative,peak_bytes,plain_peak_bytes"
    (tmp_path / "cost.csv").write_text(f"{head}\nmnist,cnn,softplus,pgd,2,9.5,{bytes_}\n")
    held = written(tmp_path, *SMALL)
    assert [axis["name"] for axis in held["axes"][-3:]] == ["relative", "training", "memory"]
    assert [row["values"].get("relative") for row in held["rows"]] == [9.5, None]
    assert [row["values"].get("training") for row in held["rows"]] == [38, None]
    assert [row["values"].get("memory") for row in held["rows"]] == [memory, None]


def test_training_for_longer_takes_the_same_steps(tmp_path):
    head = "data,network,activation,method,value_varied,relative,peak_bytes,plain_peak_bytes"
    (tmp_path / "cost.csv").write_text(f"{head}\nmnist,cnn,softplus,pgd,2,9.5,30,20\n")
    longer = {"accuracy": "1,clean,,0,0.98", "curvature": "1,Hessian spectral,median,2",
              "training": "1,6,150,75"}  # fmt: skip
    written(tmp_path, *SMALL)
    for name, row in longer.items():
        with (tmp_path / f"{name}.csv").open("a") as table:
            table.write(f"\nmnist,cnn,softplus,pgd-equal,2,{row}\n")
    held = {row["method"]: row["values"] for row in benchmark_explorer.studied(tmp_path)["rows"]}
    assert [held[name]["relative"] for name in ("pgd", "pgd-equal")] == [9.5, 9.5]
    assert [held[name]["training"] for name in ("pgd", "pgd-equal")] == [38, 57]


def test_clear_errors():
    with pytest.raises(ValueError, match="requires at least one image"):
        certificate_bracket.state([])
    with pytest.raises(ValueError, match="requires positive numbers"):
        certificate_bracket.state([IMAGE._replace(slope=0.0)])
    with pytest.raises(ValueError, match="requires one example"):
        probe_histogram.state(MLP((2, 2)), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="equally many examples"):
        confidence_weights.state({"a": torch.zeros(2), "b": torch.zeros(3)})
    with pytest.raises(ValueError, match="requires one example"):
        kernels.state(MLP((2, 2)), torch.zeros(2, 2), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="requires a positive reach"):
        kernels.state(MLP((2, 2)), torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), reach=0)
    with pytest.raises(ValueError, match="at least two axes"):
        benchmark_explorer.state([network("a")], AXES[:1])
    with pytest.raises(ValueError, match="'high' or 'low'"):
        benchmark_explorer.state([network("a")], [AXES[0], AXES[1]._replace(better="up")])
