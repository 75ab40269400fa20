"""Counts of a step agree with counts by hand."""

import pytest
import torch
from torch import nn

from curvlab.figures import frontier
from curvlab.interactive import labs
from curvlab.networks import MLP, SmallCNN
from curvlab.objectives import Plain
from curvlab.penalties import InputGradient


def test_multiplications_of_known_products():
    image, kernel = torch.rand(2, 3, 8, 8), torch.rand(5, 3, 3, 3)
    count = frontier.multiplications(lambda: nn.functional.conv2d(image, kernel))
    assert count == 2 * 5 * 6 * 6 * 3 * 3 * 3
    assert frontier.multiplications(lambda: image + 1) == 0


@pytest.mark.parametrize("model", [MLP((64, 12, 9, 10)), SmallCNN((1, 12, 12))])
def test_formula_is_the_count_for_mlp_and_cnn(model):
    x = torch.rand(3, 64) if isinstance(model, MLP) else torch.rand(3, 1, 12, 12)
    y = torch.arange(3)
    first = model[1] if isinstance(model, MLP) else model[0]
    forward = frontier.multiplications(lambda: model(x)) / 3
    share = frontier.multiplications(lambda: first(x.flatten(1) if first is model[1] else x)) / 3
    pairs = zip(frontier.methods(2).items(), frontier.predicted(2, share / forward), strict=True)
    for (name, method), expected in pairs:
        if isinstance(model, MLP) or not name.startswith("Hessian"):
            found = frontier.tally(model, method, x, y).products
            assert found == pytest.approx(expected * forward, rel=1e-12), name


def test_kept_numbers_by_hand():
    x, y = torch.rand(3, 6), torch.arange(3)
    kept = [frontier.tally(MLP((6, n, 4)), Plain(), x, y).kept for n in (5, 8)]
    assert kept[1] - kept[0] == 6  # pre-activations and activations
    kept = [frontier.tally(MLP((6, n, 4)), InputGradient(), x, y).kept for n in (5, 8)]
    assert kept[1] - kept[0] == 12


def test_costs_lab_at_its_ends():
    lab = labs.live(
        frontier.plot_costs,
        steps=labs.Slider("steps", 1, 10, frames=4, whole=True),
        activation=labs.Select("activation", ("softplus", "relu")),
        alt="Bars of counted products for six ways to train, with the formula's marks.",
    )
    assert labs.drive(lab) >= 4
