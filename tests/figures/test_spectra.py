"""The spectral figures draw what they are given."""

import pytest
import torch
from scipy.special import eval_chebyt

from curvlab.figures import spectra
from curvlab.figures.listing import listing
from curvlab.interactive import labs
from curvlab.networks import MLP


def test_chebyshev_is_scipys():
    z = torch.linspace(-1, 3, 41, dtype=torch.float64)
    for degree in range(7):
        torch.testing.assert_close(
            spectra.chebyshev(degree, z), torch.from_numpy(eval_chebyt(degree, z.numpy()))
        )
    with pytest.raises(ValueError, match=r"at least -1\. Found -2"):
        spectra.chebyshev(2, torch.tensor([-2.0]))


def test_the_polynomials_are_one_at_the_top_and_lanczos_vanishes_at_its_other_ritz_values():
    values = torch.tensor([-1.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    ax = spectra.polynomials(values, torch.tensor([-1.0, 0.5])).axes[0]
    for line in ax.lines[:3]:
        assert line.get_ydata()[-1] == pytest.approx(1)
    lanczos = ax.lines[2]
    at = abs(lanczos.get_xdata() - 0.5).argmin()
    assert lanczos.get_ydata()[at] < 1e-5


def test_stairs_count_eigenvalues():
    exact = torch.tensor([4.0, 2.0, 1.0, -3.0])
    figure = spectra.density(exact, exact, torch.ones(4))
    right, left = (figure.axes[i].lines[0].get_ydata() for i in (0, 1))
    assert (right[0], right[-1], left[0], left[-1]) == (3, 1, 1, 1)
    with pytest.raises(ValueError, match="requires nodes and mass of one shape"):
        spectra.count_above(exact, torch.ones(3), torch.ones(1))


def test_a_lab_over_the_mean_density_draws_at_every_setting():
    torch.manual_seed(0)
    models = [MLP((9, 6, 3)), MLP((9, 6, 3), "relu")]
    x, y = torch.rand(4, 9), torch.arange(4) % 3

    def plot(which, device):
        return spectra.mean_density(models[which], x, y, f"network {which}", device, steps=5)

    lab = labs.live(plot, which=labs.Slider("network", 0, 1, frames=2, whole=True), alt="A lab.")
    assert labs.drive(lab) == 2


def test_races_and_clouds_are_drawn_completely():
    assert len(spectra.tie(torch.tensor([0.5, -0.5])).axes[0].lines) == 1
    figure = spectra.race({"a": [0.1, 0.0]}, {"b": [0.1, 0.2]}, [3, 6])
    assert figure.axes[0].lines[0].get_ydata().min() == spectra.FLOOR
    cloud = spectra.gradient_errors(
        torch.tensor([2.0, 3.0]), torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.4])
    )
    assert len(cloud.axes[0].lines) == 3


def test_a_listing_is_markdown_without_the_docstring():
    shown = listing(spectra.count_above)._repr_markdown_()
    assert shown.startswith("```python\ndef count_above(")
    assert shown.endswith("\n```")
    assert '"""' not in shown
