"""Figure: random probes estimate the squared Frobenius norm of a Jacobian.

The estimate is the mean of `z'Az` with `A = JJ'`, so the matrix A of the classes is all that
travels. Python and the page draw the same probes.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from torch import Tensor, nn

from curvlab.calculus import jacobian_operator
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, pack, show, unpack
from curvlab.interactive.random import normals

Matrix = np.ndarray[Any, np.dtype[np.float64]]

VALUES: Mapping[str, Any] = {"spectrum": "0", "law": "gaussian", "probes": 1}
DRAWS = 400


def state(model: nn.Module, x: Tensor) -> State:
    """The Gram matrices of one example's Jacobian and of made-up ones of the same squared norm:
    equal singular values, the network's own in a turned basis, one value alone, and a diagonal."""
    if len(x) != 1:
        raise ValueError(f"requires one example. Found {len(x)}.")
    gram = jacobian_operator(model, x.detach().double() if is_double(model) else x).gram()[0]
    own = gram.detach().double().cpu().numpy()
    count, total = len(own), float(np.trace(own))
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((count, count)))
    one = np.outer(turn[0], turn[0]) * total
    diagonal = np.diag(np.sort(np.linalg.eigvalsh(own))[::-1])
    spectra = {
        "the network's": own,
        "its spectrum, on the diagonal": diagonal,
        "one singular value alone": one,
        "all singular values equal": np.eye(count) * total / count,
    }
    return {"spectra": [{"label": k, "gram": pack(v)} for k, v in spectra.items()]}


def is_double(model: nn.Module) -> bool:
    """Whether the network computes in float64."""
    return next(model.parameters()).dtype == torch.float64


def variance(matrix: Matrix, law: str) -> float:
    """The variance of one probe's estimate."""
    n, trace, square = len(matrix), np.trace(matrix), (matrix**2).sum()
    return float(
        {
            "gaussian": 2 * square,
            "rademacher": 2 * (square - (np.diag(matrix) ** 2).sum()),
            "sphere": 2 / (n + 2) * (n * square - trace**2),
        }[law]
    )


class Found(NamedTuple):
    """The estimates at a setting, what they estimate, and the spread the formula gives."""

    exact: float
    estimates: Matrix
    predicted: float


def estimate(state: State, values: Mapping[str, Any]) -> Found:
    """All estimates at a setting."""
    matrix = unpack(state["spectra"][int(values["spectrum"])]["gram"])
    n, probes = len(matrix), values["probes"]
    z = np.array(list(islice(normals(1), DRAWS * probes * n))).reshape(DRAWS, probes, n)
    if values["law"] == "rademacher":
        z = np.where(z < 0, -1.0, 1.0)
    if values["law"] == "sphere":
        z = z * np.sqrt(n / (z**2).sum(2, keepdims=True))
    estimates = np.einsum("dpi,ij,dpj->d", z, matrix, z) / probes
    spread = np.sqrt(max(0.0, variance(matrix, values["law"])) / probes)
    return Found(float(np.trace(matrix)), estimates, float(spread))


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    exact, estimates, predicted = estimate(state, values)

    def close(v: float) -> str:
        return "0" if v <= 1e-9 * exact else digits(v)

    probes = values["probes"]
    return (
        f"{DRAWS} estimates from {probes} probe{'' if probes == 1 else 's'} each: mean "
        f"{digits(estimates.mean())}, exact {digits(exact)}. Their spread is "
        f"{close(estimates.std())}; the formula says {close(predicted)}, "
        f"{digits(100 * predicted / exact)}% of the exact value."
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    exact, estimates, predicted = estimate(state, values)
    with style.context():
        drawn, axes = plt.subplots()
        axes.hist(estimates, 50, color=style.BLUE, alpha=0.75, label="estimates")
        axes.axvline(exact, color=style.INK, label=f"exact {digits(exact)}")
        for end in (exact - predicted, exact + predicted):
            axes.axvline(end, color=style.ORANGE, linestyle="--")
        axes.plot([], [], "--", color=style.ORANGE, label="exact ± one predicted deviation")
        axes.set(xlabel="estimate of the squared norm", ylabel=f"estimates out of {DRAWS}")
        axes.legend()
    plt.close(drawn)
    return drawn


def figure(
    model: nn.Module,
    x: Tensor,
    *,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The probes on the Jacobian of one example, on a network of any size."""
    held = state(model, x)
    setting = {**VALUES, **(values or {})}
    alt = (
        "A histogram of estimates of a squared Jacobian norm from random probes, with the exact "
        f"value and the predicted deviation. {readout(held, setting)}"
    )
    return show(
        "probe-histogram",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
