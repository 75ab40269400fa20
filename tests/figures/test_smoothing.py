"""The figure of implicit smoothing draws the curves and the limits that it was given."""

import numpy as np
import pytest
import torch

from curvlab.bounds import smoothing_constants
from curvlab.figures.smoothing import along_path


def test_along_path_draws_every_curve_between_its_limits():
    walked, curve = torch.linspace(0, 3, 4), torch.arange(12.0).view(3, 4)
    limits = smoothing_constants(0.5)
    axes = along_path(walked, {"plain": curve, "other": -curve}, limits).axes
    for row, axis in enumerate(axes):
        shown = {line.get_label(): np.asarray(line.get_ydata(), float) for line in axis.lines}
        np.testing.assert_allclose(shown["plain"], curve[row])
        np.testing.assert_allclose(shown["other"], -curve[row])
        if row:
            np.testing.assert_allclose(shown["limit"], limits[row - 1])
            assert min(line.get_ydata()[0] for line in axis.lines[2:]) == -limits[row - 1]


def test_along_path_requires_three_curves_of_the_path_length():
    with pytest.raises(ValueError, match=r"requires \(3, 4\) of 'plain'\. Found \(3, 5\)\."):
        along_path(torch.zeros(4), {"plain": torch.zeros(3, 5)}, smoothing_constants(1.0))
