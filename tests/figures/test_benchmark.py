"""The strength curves of the benchmark."""

import matplotlib.pyplot as plt
import numpy as np
import pandas
import pytest

from curvlab.figures import style
from curvlab.figures.benchmark import strength_curves

TRIALS = pandas.DataFrame({
    "method": ["untrained", "cure", "cure", "plain"],
    "value_varied": [0.0, 4.0, 1.0, 0.0],
    "clean": [0.1, 0.9, 0.95, 0.97],
    "robust_l2": [0.0, 0.7, 0.6, 0.2],
    "robust_linf": [0.0, 0.5, 0.4, 0.1],
    "selected": [True, False, True, True],
})
METHODS = ("untrained", "plain", "noise", "cure")


def test_a_line_goes_through_the_strengths_in_order_and_rings_the_choice():
    with style.context():
        first, second = strength_curves(TRIALS, METHODS).axes
    _, _, line, ring = first.lines
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), [60, 70])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [95, 90])
    np.testing.assert_allclose(np.asarray(ring.get_xdata(), float), [60])
    np.testing.assert_allclose(np.asarray(second.lines[0].get_xdata(), float), [10])
    assert [line.get_label() for line in first.lines[::2]] == ["plain", "cure"]
    plt.close("all")


def test_a_method_looks_the_same_whatever_else_is_drawn():
    with style.context():
        alone = strength_curves(TRIALS[TRIALS.method == "cure"], METHODS).axes[0].lines[0]
        among = strength_curves(TRIALS, METHODS).axes[0].lines[2]
    assert alone.get_color() == among.get_color()
    assert alone.get_marker() == among.get_marker()
    plt.close("all")


def test_trials_with_every_column():
    with pytest.raises(ValueError, match=r"requires trials .* Found 4 without clean\."):
        strength_curves(TRIALS.drop(columns="clean"), METHODS)
    with pytest.raises(ValueError, match=r"Found 0 without rows"):
        strength_curves(TRIALS[:0], METHODS)
    with pytest.raises(ValueError, match=r"requires methods among \['plain'\]. Found \['cure', "):
        strength_curves(TRIALS, ["plain"])
