"""The plane of margin and slope, and the numbers in it."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from curvlab.figures.margins import slope_plane
from curvlab.figures.strength import local_picture
from curvlab.interactive import labs

CPU = torch.device("cpu")


def test_every_setting_draws_in_the_lab(networks, examples):
    def plot(strength, ball, device):
        return slope_plane(networks, strength, ball, *examples, device)

    lab = labs.live(
        plot,
        strength=labs.Select("strength", (0.0, 1.0)),
        ball=labs.Select("ball", ("l2", "linf")),
        alt="Margin against slope of the margin for two strengths.",
    )
    assert labs.drive(lab) >= 2


@pytest.mark.parametrize("ball", ["l2", "linf"])
def test_points_are_the_correct_images(networks, examples, ball):
    figure = slope_plane(networks, 1.0, ball, *examples, CPU)
    found = local_picture(networks[1.0], *examples, ball)
    correct = found["margin"] > 0
    assert 0 < correct.sum() < 60
    points = figure.axes[0].lines[-1]
    np.testing.assert_allclose(points.get_xdata(), found["margin"][correct])
    slope = (found["margin"] / found["radius"])[correct]
    np.testing.assert_allclose(points.get_ydata(), slope)
    filled, outline = figure.axes[1].patches
    assert filled.get_fill()
    assert not outline.get_fill()
    assert outline.get_xy()[:, 1].max() < figure.axes[1].get_ylim()[1]
    plt.close(figure)


def test_diagonals_are_lines_of_equal_radius(networks, examples):
    figure = slope_plane(networks, 0.0, "l2", *examples, CPU)
    for line, radius in zip(figure.axes[0].lines, (0.1, 0.3, 1.0, 3.0), strict=False):
        np.testing.assert_allclose(line.get_xdata() / line.get_ydata(), radius)
    plt.close(figure)


def test_unknown_strength(networks, examples):
    with pytest.raises(ValueError, match=r"requires a strength among \[0.0, 1.0\]. Found 2.0."):
        slope_plane(networks, 2.0, "l2", *examples, CPU)
