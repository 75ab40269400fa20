"""The drawings of the chapter on threat models."""

import numpy as np
import torch

from curvlab import data
from curvlab.figures import style, threat_models
from curvlab.interactive import labs
from curvlab.networks import MLP


def test_worst_points_show_the_dual_norms():
    figure = threat_models.worst_points(torch.tensor([3.0, -4.0]))
    titles = [panel.get_title(loc="center") for panel in figure.axes]
    assert titles == ["l1 ball: rise 4.00", "l2 ball: rise 5.00", "l-infinity ball: rise 7.00"]
    marks = [panel.lines[-1].get_xydata()[0] for panel in figure.axes]
    np.testing.assert_allclose(marks, [[0, -1], [0.6, -0.8], [1, -1]], atol=1e-6)


def test_a_gallery_marks_what_is_wrong():
    x, y = torch.rand(2, 1, 4, 4), torch.tensor([0, 1])
    right, half = torch.tensor([[3.0, 0.0], [0.0, 3.0]]), torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    rows = {"a": threat_models.Rung(x, right), "b": threat_models.Rung(x, half)}
    figure = threat_models.gallery(rows, y)
    labels = [panel.get_xlabel() for panel in figure.axes]
    assert labels[:3] == ["0 (95%)", "1 (95%)", "0 (95%)"]
    assert labels[3].endswith("0 (95%)")
    assert labels[3] != "0 (95%)"
    widths = [panel.spines["top"].get_linewidth() for panel in figure.axes]
    assert widths[3] > widths[0]


def test_a_bracket_counts_both_shares():
    ends = torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.5])
    figure = threat_models.bracket([0.0, 0.15, 0.4], {"net": ends}, "radius")
    high, low = figure.axes[0].lines
    np.testing.assert_allclose(high.get_ydata(), [1, 1, 0.5])
    np.testing.assert_allclose(low.get_ydata(), [1, 0.5, 0])


def test_the_ladder_stays_in_its_ball():
    torch.manual_seed(0)
    model = MLP((16, 8, 3)).double()
    x, y = torch.rand(5, 1, 4, 4).double(), torch.tensor([0, 1, 2, 0, 1])
    rungs = threat_models.climb(model, x, y, 0.05)
    for name in ("random signs", "FGSM", "PGD"):
        assert float((rungs[name].x - x).abs().max()) <= 0.05 + 1e-12
        torch.testing.assert_close(rungs[name].logits, model(rungs[name].x).detach())


def test_every_setting_of_the_ladder_draws(monkeypatch):
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    examples = data.Examples(x, torch.tensor([3, 5]))
    monkeypatch.setattr(threat_models.data, "load", lambda *_: examples)
    lab = labs.live(
        threat_models.ladder_lab,
        image=labs.Slider("image", 0, 1, frames=2, whole=True),
        radius=labs.Slider("radius", 0.0, 0.3, frames=2),
        network=labs.Select("network", ("plain", "hessian-norm")),
        alt="The ladder of attacks on one image, with their losses.",
    )
    assert labs.drive(lab) >= 4
    with style.context():
        figure = threat_models.ladder_lab(0, 0.1, "plain", torch.device("cpu"))
    bars = figure.axes[-1].patches
    assert len(bars) == 5
    assert bars[3].get_height() >= bars[0].get_height()
