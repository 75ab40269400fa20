"""The experiment on features: what a row says, and what it was measured at."""

import features as experiment
import numpy as np
import pytest
import torch

from curvlab import features
from curvlab.calculus import input_gradient
from curvlab.data import Examples
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP


def digits(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 28, 28, generator=draw, dtype=torch.float64)
    return Examples(x, torch.arange(count) % 10)


def test_gains_point_in_the_good_sense_and_intervals_hold_them():
    draw = np.random.default_rng(1)
    mine = {"edge share": torch.from_numpy(draw.uniform(0.6, 0.8, 50)),
            "roughness": torch.from_numpy(draw.uniform(1, 2, 50))}
    better = {"edge share": mine["edge share"] - 0.1, "roughness": mine["roughness"] + 0.2}
    rows = list(experiment.rows_of({"scorpio": mine, "rival": better}))
    assert [row["gain"] for row in rows] == pytest.approx([0, 0, 0.1, 0.2])
    assert [(row["method"], row["measure"]) for row in rows[2:]] == [
        ("rival", "edge share"), ("rival", "roughness")]
    for row in rows[2:]:
        assert row["low"] == pytest.approx(row["gain"]) == pytest.approx(row["high"])
        assert row["images"] == 50
    (noisy,) = experiment.rows_of({"scorpio": {"edge share": mine["edge share"]}})
    assert noisy["value"] == pytest.approx(float(mine["edge share"].mean()))


def test_a_network_is_measured_at_its_own_images_and_neighbors():
    torch.manual_seed(0)
    model, test, train = MLP((784, 6, 10)).double(), digits(60), digits(40, 1)
    found = experiment.measured(model, test, train, 20)
    assert set(found) == set(features.BETTER)
    assert all(values.shape == (20,) for values in found.values())

    def slope(x):
        return input_gradient(lambda z: margin_cross_entropy(model(z), test.y[:20]), x)

    others = Examples(test.x[20:], test.y[20:])
    beside = features.nearest(test.x[:20], test.y[:20], others)
    cosine = torch.nn.functional.cosine_similarity(
        slope(test.x[:20]).flatten(1), slope(beside).flatten(1))
    torch.testing.assert_close(found["consistency"], cosine.square())
    wanted = features.roughness(slope(test.x[:20]))
    torch.testing.assert_close(found["roughness"], wanted)
