"""The digit's walk: exact derivatives in Python, and clear errors."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from curvlab.interactive import digit_curvature
from curvlab.networks import MLP


@pytest.fixture(scope="module")
def held():
    torch.manual_seed(0)
    nets = {"Plain": MLP((784, 8, 10)), "Smooth": MLP((784, 8, 10), "tanh")}
    return digit_curvature.state(nets, torch.rand(2, 1, 28, 28), torch.tensor([7, 2]))


@pytest.mark.parametrize("direction", ["gradient", "first", "second"])
@pytest.mark.parametrize("index", [0, 1])
def test_the_quadratic_model_is_taylors(held, direction, index):
    walked = digit_curvature.walk(held, index, {"digit": "1", "direction": direction})
    assert walked.direction.norm() == pytest.approx(1)
    assert walked.slope >= 0
    errors = [abs(walked.at(t)[0] - walked.quadratic(t)) for t in (0.02, 0.01, 0.005)]
    assert errors[0] > 0
    for wide, narrow in pairwise(errors):
        assert narrow <= wide / 4 + 1e-14
    assert walked.bend <= walked.top + 1e-12


def test_the_first_eigenvector_bends_most(held):
    bends = [
        digit_curvature.walk(held, 0, {"digit": "0", "direction": d}).bend
        for d in ("first", "second", "gradient")
    ]
    assert bends[0] == max(bends)


def test_the_sentence_and_the_picture(held):
    values = dict(digit_curvature.VALUES)
    text = digit_curvature.readout(held, values)
    assert text.startswith("1.00 along the direction. Plain: loss ")
    assert "Smooth: loss" in text
    assert len(digit_curvature.still(held, values).axes) == 6


def test_clear_errors():
    net = MLP((784, 4, 10))
    x, y = torch.rand(1, 1, 28, 28), torch.tensor([1])
    with pytest.raises(ValueError, match=r"requires two networks\. Found 1"):
        digit_curvature.state({"a": net}, x, y)
    with pytest.raises(ValueError, match="requires digits"):
        digit_curvature.state({"a": net, "b": net}, x[0], y)
    with pytest.raises(ValueError, match="pixels in"):
        digit_curvature.state({"a": net, "b": net}, 2 * x + 1, y)


def test_a_drawing_stays_on_the_page(held):
    with pytest.raises(ValueError, match="requires the number of a digit that travels"):
        digit_curvature.readout(held, {**digit_curvature.VALUES, "digit": "drawn"})


def test_images_travel_as_bytes(held):
    assert len(held["images"]["u8"]) == pytest.approx(2 * 784 * 4 / 3, abs=4)
    assert np.isfinite(held["labels"]).all()
