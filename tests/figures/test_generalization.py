"""The drawings of the chapter on generalization, and the classifier behind its lab. Two seconds."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from curvlab import data
from curvlab.figures import generalization
from curvlab.interactive import labs

CPU = torch.device("cpu")


@pytest.fixture
def few(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 28, 28, generator=draw)
    y = torch.tensor([3, 5, 4, 9, 0]).repeat(12)
    monkeypatch.setattr(generalization.data, "load", lambda *_: data.Examples(x, y))
    generalization.linear_margins.cache_clear()
    yield
    generalization.linear_margins.cache_clear()


def test_complexities_draws_both_curves():
    (panel,) = generalization.complexities([4, 8], {"a": ([0.5, 0.25], [1.0, 0.5])}).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in panel.lines}
    assert drawn == {"bound": [1.0, 0.5], "found": [0.5, 0.25]}


def test_gaps_run_from_the_lowest_to_the_highest_seed():
    figure = generalization.gaps([10, 20], {"risk": {"plain": [[1.0, 3.0], [2.0, 2.0]]}})
    (axis,) = figure.axes
    line, _, (bars,) = axis.containers[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["10", "20"]
    assert list(line.get_ydata()) == [2.0, 2.0]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[1.0, 3.0], [2.0, 2.0]]


def test_gaps_need_a_row_a_size():
    with pytest.raises(ValueError, match=r"requires \(2, seeds\) values of 'plain'"):
        generalization.gaps([10, 20], {"risk": {"plain": [[1.0, 3.0]]}})


def test_pair_keeps_two_digits(few):
    x, sign = generalization.pair((3, 5), "train")
    assert x.shape == (24, 784)
    assert sign[:2].tolist() == [1.0, -1.0]


def test_the_linear_classifier_is_the_minimizer(few):
    margins = generalization.linear_margins((3, 5), 10, 0.1, CPU)
    x, sign = (part[:10].numpy() for part in generalization.pair((3, 5), "train"))

    def objective(w):
        m = sign * (x @ w)
        slope = -(sign / (1 + np.exp(m))) @ x / 10 + 0.1 * w
        return np.logaddexp(0, -m).mean() + 0.05 * w @ w, slope

    w = minimize(objective, np.zeros(784), jac=True, tol=1e-12).x
    np.testing.assert_allclose(margins.train.numpy(), sign * (x @ w), atol=1e-5)
    assert margins.slope == pytest.approx(np.linalg.norm(w), rel=1e-5)
    assert len(margins.test) == 24


def test_the_robust_gap_is_that_of_the_worst_points(few):
    margins = generalization.linear_margins((3, 5), 10, 0.1, CPU)
    loss = [np.logaddexp(0, 0.7 * margins.slope - m.numpy()).mean()
            for m in (margins.train, margins.test)]
    assert generalization.linear_gap(margins, 0.7) == pytest.approx(loss[1] - loss[0])


@pytest.mark.parametrize(("count", "strength"), [(0, 0.1), (5, 0.0)])
def test_what_cannot_be_trained_is_refused(count, strength):
    with pytest.raises(ValueError, match="requires an image and a positive strength"):
        generalization.linear_margins((3, 5), count, strength, CPU)


def test_every_setting_of_the_lab_draws(few):
    lab = labs.live(
        generalization.margin_lab,
        power=labs.Slider("power", 2, 4, frames=2, whole=True),
        digits=labs.Select("digits", tuple(generalization.PAIRS)),
        strength=labs.Select("strength", (0.01, 0.1)),
        alt="Margins and gaps of a linear classifier of two digits.",
    )
    assert labs.drive(lab) >= 4
