"""The drawings of single chapters show the numbers that they were given."""

import numpy as np
import pytest
import torch

from curvlab.figures import certificates, hessian_norm, rectifiers


def drawn(axis):
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axis.lines}


def test_walks_touch_the_loss_where_the_models_are_built():
    x = torch.tensor([[0.3, -0.2]])
    gradient, eigenvector = torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    figure = hessian_norm.walks(lambda x: x.square().sum(1) + x[:, 0], x, gradient, eigenvector, 2)
    for axis in figure.axes:
        lines = drawn(axis)
        middle = len(lines["true loss"]) // 2
        values = [lines[name][middle] for name in ("true loss", "linear model", "quadratic model")]
        np.testing.assert_allclose(values, 0.43, rtol=1e-5)
        np.testing.assert_allclose(lines["quadratic model"], lines["true loss"], atol=1e-4)


def test_walks_require_one_example():
    x = torch.zeros(2, 2)
    with pytest.raises(ValueError, match=r"requires one example\. Found 2\."):
        hessian_norm.walks(lambda x: x.sum(1), x, x, x, 1.0)


def test_point_and_ball_draws_every_network():
    pair = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    (axis,) = hessian_norm.point_and_ball({"plain": pair, "other": pair}).axes
    np.testing.assert_allclose(drawn(axis)["plain"], [3.0, 5.0])
    named = {text.get_text() for text in axis.get_legend().get_texts()}
    assert named == {"equal", "plain", "other"}


def test_confidence_weights_at_one_half():
    left, _ = rectifiers.confidence_weights().axes
    middle = {name: values[100] for name, values in drawn(left).items()}
    np.testing.assert_allclose(sorted(middle.values()), [0.0625, 0.25, 0.25, 1.0])


def test_kink_law_has_slope_minus_one():
    (axis,) = rectifiers.kink_law([0.5, 1.0], {"a": [4.0, 2.0]}).axes
    law = drawn(axis)["proportional to 1/h"]
    assert law[0] / law[1] == pytest.approx(2.0)


def test_activations_draws_both_accuracies():
    clean, attacked = rectifiers.activations(["x", "y"], {"m": ([0.9, 0.8], [0.5, 0.4])}).axes
    np.testing.assert_allclose(drawn(clean)["m"], [0.9, 0.8])
    np.testing.assert_allclose(drawn(attacked)["m"], [0.5, 0.4])


def test_certified_shares_fall_and_attacks_keep_their_radii():
    radii = {"a": torch.tensor([0.0, 0.3, 0.9]), "b": torch.tensor([0.5])}
    attacked = {"a": {1.0: 0.5, 0.5: 0.9, 2.0: 0.1}, "b": {0.5: 1.0}}
    (axis,) = certificates.certified_and_attacked(radii, attacked, 1.0).axes
    shares = drawn(axis)["a, certified"]
    np.testing.assert_allclose(shares[[0, 29, 31, 91]], [2 / 3, 2 / 3, 1 / 3, 0.0])
    np.testing.assert_allclose(drawn(axis)["a, under attack"], [0.9, 0.5])
