"""The masked defenses of the chapter on honest evaluation, and its lab."""

import math

import pytest
import torch

from curvlab import data
from curvlab.attacks import fools
from curvlab.figures import honest_evaluation as honest
from curvlab.interactive import labs
from curvlab.networks import MLP


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MLP((6, 8, 4)).double()


def test_pixels_move_no_further_than_they_say():
    x = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    assert (honest.rounded(x, 0.05) - x).abs().max() == pytest.approx(0.025, rel=1e-9)
    moved = (honest.washboard(x, 0.05, 2.0) - x).abs().max()
    assert moved == pytest.approx(2 * 0.05 / (2 * math.pi), rel=1e-6)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(honest.washboard(ends, 0.05, 2.0), ends, atol=1e-12, rtol=0)


def test_the_washboard_has_the_wrong_slope_at_its_multiples():
    x = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    honest.washboard(x, 0.05, 3.0).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, -2), atol=1e-9, rtol=0)


@pytest.mark.parametrize("defense", honest.DEFENSES)
def test_a_defense_keeps_the_forward_pass_of_its_honest_form(model, defense):
    x = torch.rand(20, 6, dtype=torch.float64)
    shown, bare = honest.defended(model, defense, 2)(x), model(x)
    kept = honest.defended(model, defense, 2, honest=True)(x)
    torch.testing.assert_close(shown, kept)
    torch.testing.assert_close(honest.defended(model, defense, 0)(x), bare)
    if defense == "logit scale":
        torch.testing.assert_close(shown, 100 * bare)
        assert torch.equal(fools(shown, bare.argmax(1)), fools(bare, bare.argmax(1)))


def test_rounding_hides_the_gradient_and_straight_through_returns_it(model):
    x = torch.rand(5, 6, dtype=torch.float64, requires_grad=True)
    slopes = [
        torch.autograd.grad(honest.defended(model, "rounding", 2, honest=h)(x).sum(), x)[0]
        for h in (False, True)
    ]
    at_step = honest.rounded(x.detach(), honest.STEPS[2]).requires_grad_()
    (there,) = torch.autograd.grad(model(at_step).sum(), at_step)
    assert (slopes[0] == 0).all()
    torch.testing.assert_close(slopes[1], there)


def test_bad_settings(model):
    with pytest.raises(ValueError, match=r"requires one of logit scale, .* Found 'prayer'."):
        honest.defended(model, "prayer", 1)
    with pytest.raises(ValueError, match=r"requires a level from 0 to 3. Found 4."):
        honest.defended(model, "rounding", 4)


def test_every_setting_of_the_lab_draws(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 1, 28, 28, generator=generator)
    examples = data.Examples(x, torch.arange(6))
    monkeypatch.setattr(honest.data, "load", lambda *_: examples)
    lab = labs.live(
        honest.masking_lab,
        defense=labs.Select("defense", honest.DEFENSES),
        level=labs.Slider("level", 0, honest.LEVELS, frames=2, whole=True),
        alt="Accuracy of a defended network under six attacks, and its masking index.",
    )
    assert labs.drive(lab) >= 4
