"""The histograms of the strength lab, and the numbers under them."""

import matplotlib.pyplot as plt
import pytest
import torch

from curvlab.figures.strength import local_picture, margin, strength_histograms
from curvlab.interactive import labs


def test_local_picture_against_explicit_derivatives(networks, examples):
    model, (x, y) = networks[0.0].double(), examples
    x = x.double()
    found = {ball: local_picture(model, x, y, ball) for ball in ("l2", "linf")}
    for i in range(5):
        loss = lambda z: torch.nn.functional.cross_entropy(model(z[None]), y[i : i + 1])  # noqa: B023, E731
        lead = lambda z: margin(model(z[None]), y[i : i + 1])[0]  # noqa: B023, E731
        values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, x[i]))
        top = values[values.abs().argmax()]
        assert found["l2"]["curvature"][i] == pytest.approx(max(top.item(), 1e-6), rel=1e-6)
        slope = torch.autograd.functional.jacobian(lead, x[i])
        m = lead(x[i]).item()
        assert found["l2"]["margin"][i] == pytest.approx(m)
        assert found["l2"]["radius"][i] == pytest.approx(m / slope.norm().item())
        assert found["linf"]["radius"][i] == pytest.approx(m / slope.abs().sum().item())


def test_every_setting_draws_in_the_lab(networks, examples):
    def plot(strength, ball, device):
        return strength_histograms(networks, strength, ball, *examples, device)

    lab = labs.live(
        plot,
        strength=labs.Select("strength", (0.0, 1.0)),
        ball=labs.Select("ball", ("l2", "linf")),
        alt="Histograms of curvature, margin and radius for two strengths.",
    )
    assert labs.drive(lab) >= 2


def test_panels_and_medians(networks, examples):
    figure = strength_histograms(networks, 1.0, "l2", *examples, torch.device("cpu"))
    assert [axis.get_xlabel() for axis in figure.axes] == [
        "top curvature of the loss", "margin of the logits", "first-order l2 radius",
    ]
    median = local_picture(networks[1.0], *examples, "l2")["margin"].median().item()
    assert figure.axes[1].lines[1].get_xdata()[0] == pytest.approx(median)
    plt.close(figure)


def test_unknown_strength(networks, examples):
    with pytest.raises(ValueError, match=r"requires a strength among \[0.0, 1.0\]. Found 2.0."):
        strength_histograms(networks, 2.0, "l2", *examples, torch.device("cpu"))
