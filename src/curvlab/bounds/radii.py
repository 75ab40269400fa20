"""Radii around an example from the value, the slope and the curvature of a margin.

`margin` is `m = f_y - f_j > 0`, `slope` is `|grad m|` at the example, both for one class `j`; take
the smallest radius over the classes last. `curvature` is one-sided and its side matters: a
certificate needs `K >= -inf lambda_min` of the margin's Hessian, an attack radius
`K >= sup lambda_max`; on a softplus network the two differ. A rectifier has `K = inf` on any ball
that meets a kink. All formulas are written so that nearly equal numbers are never subtracted.
"""

from typing import NamedTuple

import torch
from torch import Tensor


def curvature_radius(margin: Tensor, slope: Tensor, curvature: Tensor) -> Tensor:
    """The `t` where `m - slope t - K t^2 / 2` reaches zero: no smaller change flips `y` to `j`.

    `K` must hold on the ball of this radius. `K = 0` gives `m / slope`; `K = inf` gives zero.

    >>> one = torch.ones(1)
    >>> curvature_radius(1.5 * one, one, one), curvature_radius(one, one, 0 * one)
    (tensor([1.]), tensor([1.]))
    """
    _check(margin, slope=slope, curvature=curvature)
    root = slope + (slope.square() + 2 * curvature * margin.clamp(min=0)).sqrt()
    return torch.where(margin > 0, 2 * margin / root, 0)


def attack_radius(margin: Tensor, slope: Tensor, curvature: Tensor) -> Tensor:
    """How far along `-grad m` the margin is certainly gone; infinite where that is not certain.

    `m - slope t + K t^2 / 2` bounds the margin there, and it has a root if `slope^2 >= 2 K m`. `K`
    must hold on the ball of this radius, and there must be no box in the way.

    >>> one = torch.ones(1)
    >>> attack_radius(0.5 * one, one, one), attack_radius(one, one, one)
    (tensor([1.]), tensor([inf]))
    """
    _check(margin, slope=slope, curvature=curvature)
    room = slope.square() - 2 * curvature * margin.clamp(min=0)
    root = slope + room.clamp(min=0).sqrt()
    reached = torch.where((room >= 0) & (slope > 0), 2 * margin / root, torch.inf)
    return torch.where(margin > 0, reached, 0)


def combined_radius(margin: Tensor, slope: Tensor, curvature: Tensor, lipschitz: Tensor) -> Tensor:
    """The radius from `|grad m(x + d)| <= min(L, slope + K |d|)`.

    The gradient grows with the curvature until `t* = (L - slope) / K` and stays at `L` from there.
    At least as large as `curvature_radius` and as `m / L` (both are its special cases).

    >>> one = torch.ones(1)
    >>> combined_radius(2.5 * one, one, one, 2 * one)  # 1.5 is used up at t* = 1, then slope 2
    tensor([1.5000])
    """
    _check(margin, slope=slope, curvature=curvature, lipschitz=lipschitz)
    bend = curvature_radius(margin, slope, curvature)
    room = (lipschitz - slope).clamp(min=0)
    turn = torch.where(room > 0, room / curvature, 0)  # inf where the gradient cannot grow
    spent = turn * (slope + lipschitz.clamp(min=slope)) / 2
    beyond = turn + (margin - spent) / lipschitz
    beyond = torch.where(lipschitz > 0, beyond, torch.inf)
    return torch.where(margin > 0, torch.where(spent < margin, beyond, bend), 0)


class CureInterval(NamedTuple):
    """Bounds on the smallest `|r|` with `g'r + r'Hr/2 = c`: of the quadratic model alone."""

    lower: Tensor
    upper: Tensor
    weak_lower: Tensor
    weak_upper: Tensor


def cure_interval(slope: Tensor, along: Tensor, curvature: Tensor, gap: Tensor) -> CureInterval:
    """How far the quadratic model of a loss lets one go before it has risen by `gap`.

    `slope` is `|g|`, `curvature` the largest eigenvalue `nu >= 0` of H, `along` is `|g'u|` for its
    eigenvector u, `gap` is `c >= 0` (Moosavi-Dezfooli et al., 2019). Their weak lower bound
    subtracts `2 nu c^2 / |g|^3`; a half of `nu c^2 / |g|^3` is enough, because
    `sqrt(1 + z) - 1 >= z/2 - z^2/8`.

    >>> one = torch.ones(1)
    >>> cure_interval(one, one, one, 1.5 * one)[:2]  # g along u: the interval is a point
    (tensor([1.]), tensor([1.]))
    """
    for name, found in {"slope": slope, "along": along, "curvature": curvature, "gap": gap}.items():
        _nonnegative(name, found)

    def reach(rate: Tensor) -> Tensor:
        quotient = 2 * gap / (rate + (rate.square() + 2 * curvature * gap).sqrt())
        return torch.where(gap > 0, quotient, 0)

    weak = gap / slope - curvature * gap.square() / (2 * slope**3)
    return CureInterval(
        reach(slope),
        reach(along),
        torch.where(slope > 0, weak, -torch.inf),
        torch.where(gap > 0, gap / along, 0),
    )


def _check(margin: Tensor, **sizes: Tensor) -> None:
    if bool(margin.isnan().any()):
        raise ValueError("requires margins that are numbers. Found NaN.")
    for name, found in sizes.items():
        _nonnegative(name, found)


def _nonnegative(name: str, found: Tensor) -> None:
    if not bool((found >= 0).all()):
        raise ValueError(f"requires a {name} >= 0. Found {float(found.min())}.")
