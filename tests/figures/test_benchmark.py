"""The figures of the benchmark."""

import matplotlib.pyplot as plt
import numpy as np
import pandas
import pytest

from curvlab.figures import style
from curvlab.figures.benchmark import ring_to_dot, strength_curves

TRIALS = pandas.DataFrame({
    "method": ["untrained", "cure", "cure", "plain"],
    "value_varied": [0.0, 4.0, 1.0, 0.0],
    "clean": [0.1, 0.9, 0.95, 0.97],
    "robust_l2": [0.0, 0.7, 0.6, 0.2],
    "robust_linf": [0.0, 0.5, 0.4, 0.1],
    "selected": [True, False, True, True],
})
METHODS = ("untrained", "plain", "noise", "cure")


def test_a_panel_has_the_line_through_its_strengths_and_the_ringed_choice():
    with style.context():
        figure = strength_curves(TRIALS, METHODS)
    shown = [panel for panel in figure.axes if panel.axison]
    assert [panel.get_title(loc="left") for panel in shown] == ["plain", "cure"]
    everything, line, strongest, ring = shown[1].lines
    # Weaker first: 0.6 and 0.4 robust leave 50 % wrong, 0.7 and 0.5 leave 40 %.
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), [50, 40])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [5, 10])
    np.testing.assert_allclose(np.asarray(strongest.get_xdata(), float), [40])
    np.testing.assert_allclose(np.asarray(ring.get_xdata(), float), [50])
    np.testing.assert_allclose(np.asarray(everything.get_xdata(), float), [40, 50, 85])
    plt.close("all")


def test_panels_share_axes_that_hold_every_trial():
    with style.context():
        figure = strength_curves(TRIALS, METHODS)
    for panel in figure.axes:
        low, high = panel.get_xlim()
        assert low < 40 < 85 < high
        low, high = panel.get_ylim()
        assert low < 3 < 10 < high
    plt.close("all")


def test_a_method_without_a_choice_has_no_ring_and_leaves_the_layout_alone():
    undecided = TRIALS.assign(selected=TRIALS.method != "cure")
    with style.context():
        figure = strength_curves(undecided, METHODS)
        figure.canvas.draw()
    cure = next(panel for panel in figure.axes if panel.get_title(loc="left") == "cure")
    assert len(cure.lines) == 3
    widths = [panel.get_position().width for panel in figure.axes]
    assert min(widths) > 0.15
    plt.close("all")


def test_trials_with_every_column():
    with pytest.raises(ValueError, match=r"requires trials .* Found 4 without clean\."):
        strength_curves(TRIALS.drop(columns="clean"), METHODS)
    with pytest.raises(ValueError, match=r"Found 0 without rows"):
        strength_curves(TRIALS[:0], METHODS)
    with pytest.raises(ValueError, match=r"requires methods among \['plain'\]. Found \['cure', "):
        strength_curves(TRIALS, ["plain"])


def test_ring_to_dot_goes_from_a_ring_to_a_dot():
    with style.context():
        figure = ring_to_dot(["cure", "krylov-2"], {"l2": [(50, 70), (60, 60)]})
    (axis,) = figure.axes
    found = [(line.get_xdata(), line.get_ydata(), line.get_fillstyle()) for line in axis.lines]
    ends = [(np.ravel(x).tolist(), np.ravel(y).tolist(), fill) for x, y, fill in found]
    assert ends == [
        ([50, 70], [0, 0], "full"), ([50], [0], "none"), ([70], [0], "full"), ([60], [1], "full")
    ]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cure", "krylov-2"]
    plt.close("all")


def test_every_method_with_a_pair():
    with pytest.raises(ValueError, match=r"requires 2 pairs of 'l2'\. Found 1\."):
        ring_to_dot(["cure", "krylov-2"], {"l2": [(50, 70)]})
