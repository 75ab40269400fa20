"""What the strength of a gradient penalty does to curvature, margin and radius, image by image."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab.attacks import Norm
from curvlab.calculus import hessian_operator, input_gradient
from curvlab.figures.style import BLUE, GRAY, WIDTH
from curvlab.losses import check_labels, margin_cross_entropy
from curvlab.spectrum import top_eigenpair


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The own logit minus the largest other one, `(B,)`.

    >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
    tensor([1.])
    """
    check_labels(logits, y)
    own = y.unsqueeze(1)
    others = logits.scatter(1, own, float("-inf")).amax(1)
    return logits.gather(1, own).squeeze(1) - others


def local_picture(model: nn.Module, x: Tensor, y: Tensor, ball: Norm) -> dict[str, Tensor]:
    """For each example: the top curvature of the loss, the margin of the logits, and the
    first-order radius, margin over the dual norm of its gradient (negative at an error)."""
    loss = hessian_operator(lambda z: margin_cross_entropy(model(z), y), x)
    curvature = top_eigenpair(loss, loss.gradient.detach()).value
    slope = input_gradient(lambda z: margin(model(z), y), x).flatten(1)
    size = slope.norm(dim=1) if ball == "l2" else slope.abs().sum(1)
    lead = margin(model(x), y).detach()
    return {"curvature": curvature.clamp_min(1e-6), "margin": lead, "radius": lead / size}


def require_strength(networks: Mapping[float, nn.Module], strength: float) -> None:
    """Refuses a strength that no network was trained with."""
    if strength not in networks:
        raise ValueError(f"requires a strength among {sorted(networks)}. Found {strength}.")


def strength_histograms(
    networks: Mapping[float, nn.Module],
    strength: float,
    ball: Norm,
    x: Tensor,
    y: Tensor,
    device: torch.device,
) -> Figure:
    """Histograms over images for one strength, on those of the weakest; dashes mark medians."""
    require_strength(networks, strength)
    x, y = x.to(device), y.to(device)
    pictures = {s: local_picture(network.to(device), x, y, ball) for s, network in networks.items()}
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.6))
    labels = {
        "curvature": "top curvature of the loss",
        "margin": "margin of the logits",
        "radius": f"first-order {ball} radius",
    }
    for axis, (name, label) in zip(panels, labels.items(), strict=True):
        log = name == "curvature"
        every = torch.cat([p[name] for p in pictures.values()]).cpu()
        every = every.log10() if log else every
        low, high = torch.quantile(every, torch.tensor([0.005, 0.995])).tolist()
        bins = torch.linspace(low, high, 25)
        edges = (10**bins if log else bins).tolist()
        shown = ((min(networks), GRAY, "stepfilled"), (strength, BLUE, "step"))
        for s, color, kind in shown:
            values = pictures[s][name].cpu()
            text = f"strength {s:g}"
            axis.hist(
                values.clamp(edges[0], edges[-1]).tolist(), edges, histtype=kind, color=color,
                alpha=0.35 if kind == "stepfilled" else 1, linewidth=1.6, label=text,
            )
            axis.axvline(float(values.median()), color=color, linestyle="--", linewidth=1.2)
        axis.set(xlabel=label, xscale="log" if log else "linear", yticks=[], ylim=(0, 0.6 * len(y)))
    panels[0].legend(loc="upper left", fontsize=8)
    return figure
