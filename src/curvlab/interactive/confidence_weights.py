"""Figure: the confidence weight of each regularizer over a real network's confidences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from torch import Tensor, nn

from curvlab.data import Examples
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, pack, show, unpack
from curvlab.losses import margin_cross_entropy
from curvlab.objectives import Plain
from curvlab.training import fit

Vector = np.ndarray[Any, np.dtype[np.float64]]

VALUES: Mapping[str, Any] = {"epoch": 0, "weight": "gradient"}

WEIGHTS: Mapping[str, tuple[str, Callable[[Vector, Vector], Vector]]] = {
    "cross": ("cross-Lipschitz", lambda p, q: np.ones_like(p)),
    "gradient": ("squared gradient", lambda p, q: q**2),
    "hessian": ("Hessian norm", lambda p, q: p * q),
    "jacobian": ("squared probability Jacobian", lambda p, q: p**2 * q**2),
}


@torch.no_grad()
def log_odds(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """`log(p_y / (1 - p_y))` of each example: its soft margin.

    >>> log_odds(nn.Identity(), torch.tensor([[3.0, 1.0]]), torch.tensor([0]))
    tensor([2.])
    """
    loss = margin_cross_entropy(model(x).double(), y)
    return (-(loss.expm1().log())).float()


def through_training(
    model: nn.Module, data: Examples, *, epochs: int, images: int = 400, seed: int = 0
) -> dict[str, Tensor]:
    """The log-odds of the first examples before plain training and after each epoch of it.

    Each epoch runs its own learning-rate schedule, so that each ends on a settled network.
    """
    if epochs < 1 or not 0 < images <= len(data.y):
        raise ValueError(
            f"requires an epoch and at most {len(data.y)} images. Found {epochs} and {images}."
        )
    x, y = data.x[:images], data.y[:images]
    odds = {"0 epochs": log_odds(model, x, y)}
    for epoch in range(1, epochs + 1):
        fit(model, data, Plain(), strength=0.0, epochs=1, seed=seed + epoch, quiet=True)
        odds[f"{epoch} epoch{'s' if epoch > 1 else ''}"] = log_odds(model, x, y)
    return odds


def state(odds: Mapping[str, Tensor]) -> State:
    """The log-odds of the same examples at several moments, by name of the moment."""
    shapes = {tuple(v.shape) for v in odds.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"requires equally many examples at each moment. Found {sorted(shapes)}.")
    return {"epochs": list(odds), "odds": pack(torch.stack(list(odds.values())))}


class Found(NamedTuple):
    """Confidences, weights, and how many of the heaviest examples carry half of the weight."""

    confidence: Vector
    weight: Vector
    half: int


def measure(state: State, values: Mapping[str, Any]) -> Found:
    """What the page computes at one setting."""
    odds = unpack(state["odds"])[values["epoch"]]
    p, q = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))
    weight = WEIGHTS[values["weight"]][1](p, q)
    carried = np.cumsum(np.sort(weight)[::-1])
    # The first count whose sum reaches half of the weight.
    half = int((carried < weight.sum() / 2).sum()) + 1
    return Found(p, weight, half)


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    found = measure(state, values)
    median = np.sort(found.confidence)[len(found.confidence) // 2]
    return (
        f"After {state['epochs'][values['epoch']]}: median confidence {100 * median:.1f}%. "
        f"The {WEIGHTS[values['weight']][0]} weight is {digits(found.weight.mean())} on average, "
        f"and half of it rests on {found.half} of {len(found.weight)} examples."
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    found = measure(state, values)
    p = np.linspace(0, 1, 101)
    with style.context():
        drawn, (top, below) = plt.subplots(2, 1, figsize=(style.WIDTH, 4.6), sharex=True)
        for linestyle, (name, (label, f)) in zip(style.LINE_STYLES, WEIGHTS.items(), strict=False):
            chosen = name == values["weight"]
            top.plot(
                p,
                f(p, 1 - p),
                linestyle=linestyle,
                label=label,
                color=style.ORANGE if chosen else style.GRAY,
            )
        top.set_ylabel("weight")
        top.legend(fontsize=8)
        bins: Sequence[float] = np.linspace(0, 1, 21).tolist()
        count = len(found.confidence)
        shares = [np.full(count, 1 / count), found.weight / found.weight.sum()]
        below.hist(
            [found.confidence] * 2,
            bins,
            weights=shares,
            color=[style.BLUE, style.ORANGE],
            label=["share of the examples", "share of the weight"],
        )
        below.set(xlabel="confidence in the true class", ylabel="share")
        below.legend(fontsize=8)
    plt.close(drawn)
    return drawn


def figure(
    odds: Mapping[str, Tensor],
    *,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The weights over the log-odds of some hundred examples, as `through_training` gives them."""
    held = state(odds)
    setting = {**VALUES, **(values or {})}
    alt = (
        "Above: the weights of four regularizers as functions of the confidence. Below: how the "
        "examples and the chosen weight spread over the confidence. "
        f"{readout(held, setting)}"
    )
    return show(
        "confidence-weights",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
