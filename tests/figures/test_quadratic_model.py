"""The drawings of the chapter on the quadratic model."""

import numpy as np
import torch

from curvlab import data
from curvlab.figures import quadratic_model
from curvlab.interactive import labs


def test_distances_puts_each_network_in_its_panel():
    parts = [torch.tensor(v) for v in ([1.0, 2.0], [2.0, 4.0], [1.5, 3.0], [1.7, 2.5])]
    figure = quadratic_model.distances({"a": parts, "b": parts})
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["a", "b"]
    marks = panels[0].lines[1]
    np.testing.assert_allclose(marks.get_xdata(), [1.5, 3.0])
    np.testing.assert_allclose(marks.get_ydata(), [1.7, 2.5])


def test_every_setting_of_the_walk_draws(monkeypatch):
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    examples = data.Examples(x, torch.tensor([3, 5]))
    monkeypatch.setattr(quadratic_model.data, "load", lambda *_: examples)
    lab = labs.live(
        quadratic_model.walk_lab,
        image=labs.Slider("image", 0, 1, frames=2, whole=True),
        network=labs.Select("network", ("input-gradient", "pgd")),
        alt="Loss of two networks along gradient and top eigenvector.",
    )
    assert labs.drive(lab) >= 2
