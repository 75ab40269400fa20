"""Line charts draw what they are given and refuse what does not fit."""

import matplotlib.pyplot as plt
import pytest
import torch

from curvlab.figures.curves import lines, ranges


def test_lines_draw_every_curve():
    figure = lines([1, 2], {"a": [1, 2], "b": [2, 4]}, xlabel="n")
    drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert drawn == {"a": [1, 2], "b": [2, 4]}
    assert figure.axes[0].get_xlabel() == "n"
    plt.close(figure)


def test_ranges_run_from_the_lowest_to_the_highest_seed():
    values = torch.tensor([[[1.0], [2.0]], [[3.0], [8.0]]])
    figure = ranges([1, 10], {"a": values}, ["title"], "n")
    (bars,) = figure.axes[0].containers[0][2]
    assert [[tuple(p) for p in s] for s in bars.get_segments()] == [
        [(1, 1), (1, 3)], [(10, 2), (10, 8)],
    ]
    assert list(figure.axes[0].containers[0][0].get_ydata()) == [2, 5]
    plt.close(figure)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"requires 2 values of 'a'. Found 1."):
        lines([1, 2], {"a": [1]})
    with pytest.raises(ValueError, match=r"requires \(seeds, 2, 1\) of 'a'. Found \(1, 2\)."):
        ranges([1, 2], {"a": torch.ones(1, 2)}, ["t"], "n")
