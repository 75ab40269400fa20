"""The drawings of the chapter on robust features show what they were given."""

import numpy as np
import pytest
import torch

from curvlab.figures import robust_features as figures
from curvlab.figures import style
from curvlab.interactive import labs
from curvlab.networks import MLP

CPU = torch.device("cpu")


@pytest.fixture
def models():
    torch.manual_seed(0)
    return {name: MLP((784, 8, 10), beta=2.0) for name in ("plain", "other")}


def images(count):
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def test_gallery_shows_each_direction_below_its_image():
    x = images(3)
    figure = figures.gallery(x, {"a": x - 0.5, "b": -x})
    axes = np.array(figure.axes).reshape(3, 3)
    np.testing.assert_allclose(axes[0, 2].images[0].get_array(), x[2, 0])
    np.testing.assert_allclose(axes[1, 1].images[0].get_array(), x[1, 0] - 0.5)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["image", "a", "b"]
    low, high = axes[2, 0].images[0].get_clim()
    assert (low, high) == (-high, pytest.approx(x[0].max().item()))
    with pytest.raises(ValueError, match=r"requires directions of shape .* for 'a'"):
        figures.gallery(x, {"a": x[:2]})


def test_portrait_shows_the_gradient_and_an_attack_within_reach(models):
    x, y = images(1), torch.tensor([3])
    figure = figures.portrait(models["plain"], x, y, 1.0, CPU)
    shown, gradient, _, attacked = (axis.images[0].get_array() for axis in figure.axes)
    z = x.clone().requires_grad_()
    torch.nn.functional.cross_entropy(models["plain"](z), y).backward()
    np.testing.assert_allclose(gradient, z.grad[0, 0].numpy(), atol=1e-6)
    assert np.linalg.norm(attacked - shown) <= 1 + 1e-5
    with pytest.raises(ValueError, match=r"requires one image. Found 2."):
        figures.portrait(models["plain"], images(2), torch.tensor([3, 1]), 1.0, CPU)


def test_every_setting_of_the_lab_draws(models):
    x, y = images(2), torch.tensor([3, 1])

    def plot(network, image, device):
        rows = slice(image, image + 1)
        return figures.portrait(models[network], x[rows], y[rows], 2.0, device)

    lab = labs.live(
        plot,
        network=labs.Select("network", tuple(models)),
        image=labs.Slider("image", 0, 1, frames=2, whole=True),
        alt="An image, its gradient, its top eigenvector and its adversarial example.",
    )
    assert labs.drive(lab) >= 2


def test_measured_draws_means_intervals_and_chance():
    with style.context():
        figure = figures.measured(
            ["plain", "pgd"], {"a": [(1, 0.5, 2), (3, 2, 4)], "b": [(0, 0, 0)] * 2}, {"a": 0.7}
        )
    first, second = figure.axes
    drawn = first.containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(np.asarray(drawn, float), [1, 3])
    assert [text.get_text() for text in first.get_yticklabels()] == ["plain", "pgd"]
    assert first.lines[-1].get_xdata()[0] == 0.7
    assert first.get_xlabel() == "dashed: chance, 0.7"
    assert second.get_xlabel() == ""
    assert len(figures.measured(["plain"], {"a": [(1, 1, 1)]}, {}).axes) == 1
    with pytest.raises(ValueError, match=r"requires 2 values of 'a'. Found 1."):
        figures.measured(["plain", "pgd"], {"a": [(1, 1, 1)]}, {})
