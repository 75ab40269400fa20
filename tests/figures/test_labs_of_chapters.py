"""Labs: what they draw is what the package computes, and every setting draws."""

import pytest
import torch
from torch import nn

from curvlab import data
from curvlab.calculus import jacobian_operator
from curvlab.figures.certificates import bracket_lab
from curvlab.figures.classifier_calculus import MOMENTS, newton_share, share_lab
from curvlab.figures.jacobian import LAWS, estimates, probes_lab
from curvlab.interactive import labs
from curvlab.networks import MLP

CPU = torch.device("cpu")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MLP((64, 8, 10), "tanh").double()


@pytest.fixture
def digits():
    return data.load("digits", "test")


def test_estimates_are_unbiased(network, digits):
    gram = jacobian_operator(network, digits.x[:1].double()).gram()[0].detach()
    for law in LAWS:
        found = estimates(gram, law, 20_000)
        error = found.std() / 20_000**0.5
        assert (found.mean() - gram.trace()).abs() < 5 * error + 1e-12


def test_probes_lab(network, digits):
    lab = labs.live(
        lambda image, device: probes_lab(network, digits.x[image : image + 1], device),
        image=labs.Slider("image", 0, 3, frames=2, whole=True),
        alt="Estimates of the norms of one image's Jacobian.",
    )
    assert labs.drive(lab) >= 2
    figure = probes_lab(network, digits.x[:1], CPU)
    power, krylov = figure.axes[2].lines
    assert (krylov.get_ydata() <= power.get_ydata() * (1 + 1e-6)).all()
    assert krylov.get_ydata()[-1] < 1e-3
    with pytest.raises(ValueError, match=r"requires one image\. Found 2"):
        probes_lab(network, digits.x[:2], CPU)


def test_newton_share_of_a_rectifier_is_one_and_of_a_bent_unit_is_not(digits):
    torch.manual_seed(0)
    x, y = digits.x[:5].double().flatten(1), digits.y[:5]
    assert (newton_share(MLP((64, 8, 10), "relu").double(), x, y) == 1).all()
    model = MLP((64, 8, 10), "tanh").double()
    found = newton_share(model, x, y)
    logits = model(x)
    for i in range(5):
        loss = lambda z: nn.functional.cross_entropy(model(z[None]), y[i : i + 1])  # noqa: B023, E731
        H = torch.autograd.functional.hessian(loss, x[i])
        J = torch.autograd.functional.jacobian(lambda z: model(z[None])[0], x[i])
        p = logits[i].softmax(0).detach()
        newton = J.T @ (p.diag() - p.outer(p)) @ J
        a, b = (torch.linalg.matrix_norm(part, 2) for part in (newton, H - newton))
        assert found[i] == pytest.approx((a / (a + b)).item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"requires flat activations \(B, n\). Found \(1, 2, 2\)."):
        newton_share(nn.Identity(), torch.zeros(1, 2, 2), y[:1])


def test_share_lab():
    lab = labs.live(
        share_lab,
        moment=labs.Slider("moment", 0, len(MOMENTS) - 1, frames=2, whole=True),
        activation=labs.Select("activation", ("softplus", "tanh")),
        alt="The share of Gauss-Newton at each layer.",
    )
    assert labs.drive(lab) >= 2
    figure = share_lab(2, "tanh", CPU)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert len(heights) == 4
    assert heights[2:] == [1, 1]  # the logits are affine in the last hidden layer
    assert 0 < heights[0] < 1


def test_bracket_lab(network, digits):
    networks = {0.0: network.requires_grad_(False)}
    x = digits.x.double()
    y = network(x).argmax(1)
    lab = labs.live(
        lambda image, device: bracket_lab(
            networks, 0.0, x[image : image + 1], y[image : image + 1], device
        ),
        image=labs.Slider("image", 0, 3, frames=2, whole=True),
        alt="Certified radii and attacks of one image.",
    )
    assert labs.drive(lab) >= 2
    figure = bracket_lab(networks, 0.0, x[:1], y[:1], CPU)
    sizes = [bar.get_width() for bar in figure.axes[1].patches]
    assert 0 < max(sizes[:4]) <= sizes[4]
    with pytest.raises(ValueError, match=r"requires a strength among \[0.0\]. Found 1.0."):
        bracket_lab(networks, 1.0, x[:1], y[:1], CPU)
    with pytest.raises(ValueError, match=r"requires one image\. Found 2"):
        bracket_lab(networks, 0.0, x[:2], y[:2], CPU)
