"""Bounds on the robust loss, `max over |d| <= eps of l(x + d)`, for each example.

`norm` names the ball. A bound of first order speaks of the linearized loss only: the network's own
robust loss may exceed it. A box leaves upper bounds valid; lower bounds need its absence.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import matrix_norm

from curvlab.attacks import Norm
from curvlab.bounds.constants import Constants
from curvlab.losses import check_labels, margin_cross_entropy
from curvlab.trust_region import trust_region


class Sandwich(NamedTuple):
    """Bounds on the rise of the loss within the ball."""

    lower: Tensor  # (B,)
    upper: Tensor  # (B,)


def sandwich(
    gradient: Tensor, curvature: Tensor | float, eps: float, norm: Norm = "l2"
) -> Sandwich:
    """How much a loss can rise within a ball on which its gradient is `curvature`-Lipschitz.

    `eps |g| -+ K eps^2 / 2` in l2, `eps |g|_1 -+ d K eps^2 / 2` in l-infinity (K always in l2, and
    on that ball). Where the step to the sphere would overshoot, `|g|^2 / (2 K)` or
    `|g|_1^2 / (2 d K)` bounds from below. The upper bound needs only `K >= sup lambda_max`, the
    lower `K >= -inf lambda_min`, g known at the example and no box. A Hessian bounded at the
    example alone, or a rectifier's almost everywhere, is no K.

    >>> sandwich(torch.tensor([[3.0, 4.0]]), curvature=2.0, eps=1.0)
    Sandwich(lower=tensor([4.]), upper=tensor([6.]))
    """
    flat = gradient.detach().flatten(1)
    dual = dual_norm(flat, eps, norm)
    K = torch.as_tensor(curvature, dtype=flat.dtype, device=flat.device).expand(len(flat))
    if not bool((K >= 0).all()):
        raise ValueError(f"requires a curvature >= 0. Found {float(K.min())}.")
    K = K * (flat.shape[1] if norm == "linf" else 1)
    short = torch.where(K * eps > dual, dual / K, eps)
    return Sandwich(dual * short - K * short**2 / 2, dual * eps + K * eps**2 / 2)


class FirstOrder(NamedTuple):
    """The largest rise of the linearized cross-entropy, and bounds on it in terms of J."""

    linearized: Tensor  # eps |J'(p - e_y)|_q
    margins: Tensor  # eps (1 - p_y) max_j |grad (f_y - f_j)|_q
    centred: Tensor  # l2: eps sqrt(2) (1 - p_y) |J_c|; l-infinity: eps (1 - p_y) |J_c|_{1,1}
    surrogate: Tensor  # l2: eps sqrt(2) (1 - p_y) |J|_F; l-infinity: eps (1 - p_y) |J|_{1,1}


def first_order(
    logits: Tensor, jacobian: Tensor, y: Tensor, eps: float, norm: Norm = "l2"
) -> FirstOrder:
    """Jacobian surrogates of the robust loss (Wu & Li, 2024) with their confidence factor.

    `p - e_y` has l-infinity norm `1 - p_y` and l2 norm at most `sqrt(2) (1 - p_y)`, and it is a
    combination of `e_j - e_y` with weights `p_j`. `jacobian` is `(B, C, *shape)`, `J_c` its rows
    minus their mean. Each field bounds the one before it, but in l-infinity `centred` and
    `surrogate` come in either order.

    >>> bounds = first_order(torch.zeros(1, 2), torch.eye(2).unsqueeze(0), torch.tensor([0]), 1.0)
    >>> [round(bound.item(), 4) for bound in bounds]
    [0.7071, 0.7071, 0.7071, 1.0]
    """
    check_labels(logits, y)
    rows = jacobian.detach().flatten(2)
    if rows.shape[:2] != logits.shape:
        found = tuple(jacobian.shape)
        raise ValueError(f"requires a Jacobian {(*logits.shape, '...')}. Found {found}.")
    logits, own = logits.detach(), y.unsqueeze(1)
    others = logits.scatter(1, own, -torch.inf).logsumexp(1)
    unsure = (others - logits.gather(1, own).squeeze(1)).sigmoid()  # 1 - p_y to all its digits
    weights = logits.softmax(1).scatter(1, own, -unsure.unsqueeze(1))
    differences = rows - rows.gather(1, own.unsqueeze(2).expand(-1, 1, rows.shape[2]))
    steepest = torch.stack([dual_norm(row, eps, norm) for row in differences.unbind(1)], 1).amax(1)
    centred = rows - rows.mean(1, keepdim=True)
    scale = eps * unsure
    if norm == "l2":
        scale = math.sqrt(2) * scale
        sizes = matrix_norm(centred, 2), matrix_norm(rows)
    else:
        sizes = centred.abs().sum((1, 2)), rows.abs().sum((1, 2))
    pulled = torch.einsum("bc,bcd->bd", weights, rows)
    linearized = eps * dual_norm(pulled, eps, norm)
    return FirstOrder(linearized, eps * unsure * steepest, *(scale * s for s in sizes))


class Quadratic(NamedTuple):
    """The maximum of `g'd + d'Hd/2` over `|d| <= eps`, and simple bounds on it."""

    lower: Tensor  # eps |g| + eps^2/2 of the curvature along g
    maximum: Tensor
    upper: Tensor  # eps |g| + eps^2/2 of the largest eigenvalue, if that is positive


def quadratic_maximum(gradient: Tensor, hessian: Tensor, eps: float) -> Quadratic:
    """The l2 adversary of the quadratic model, exactly, from explicit Hessians `(B, n, n)`.

    It speaks of the model, not of the network. `lower` is the value of one step along g.

    >>> g, H = torch.tensor([[0.0, 1.0]]), torch.diag_embed(torch.tensor([[2.0, 0.0]]))
    >>> quadratic_maximum(g, H, eps=1.0)
    Quadratic(lower=tensor([1.]), maximum=tensor([1.2500]), upper=tensor([2.]))
    """
    g = gradient.detach().flatten(1)
    if hessian.shape != (*g.shape, g.shape[1]):
        found = tuple(hessian.shape)
        raise ValueError(f"requires Hessians {(*g.shape, g.shape[1])}. Found {found}.")
    values, vectors = torch.linalg.eigh(hessian.detach())
    maximum = trust_region(values, torch.einsum("bij,bi->bj", vectors, g), eps).value
    slope = dual_norm(g, eps, "l2")
    along = torch.nn.functional.normalize(g, dim=1)
    bend = torch.einsum("bi,bij,bj->b", along, hessian.detach(), along)
    rise = eps**2 / 2
    return Quadratic(
        eps * slope + rise * bend, maximum, eps * slope + rise * values[:, -1].clamp(min=0)
    )


def certified_loss(
    logits: Tensor, slopes: Tensor, y: Tensor, eps: float, constants: Constants
) -> Tensor:
    """An upper bound on cross-entropy over the whole l2 ball, not to first order: `(B,)`.

    Cross-entropy falls in every margin, and margin j loses at most `eps L`, and at most
    `eps |grad m_j| + K eps^2 / 2`. `slopes` are `|grad (f_y - f_j)|`, `(B, C)`.

    >>> eye = torch.eye(2)
    >>> constants = Constants(lipschitz=1 - eye, curvature=0 * eye, logits=1.0)
    >>> certified_loss(torch.tensor([[1.0, 0.0]]), 1 - eye[:1], torch.tensor([0]), 1.0, constants)
    tensor([0.6931])
    """
    check_labels(logits, y)
    dual_norm(slopes, eps, "l2")  # checks eps
    bent = slopes * eps + constants.curvature[y].to(slopes) * eps**2 / 2
    loss = torch.minimum(constants.lipschitz[y].to(slopes) * eps, bent)
    return margin_cross_entropy(logits + loss.scatter(1, y.unsqueeze(1), 0), y)


def loss_curvature(constants: Constants) -> Tensor:
    """A Lipschitz constant of the gradient of cross-entropy for each label: `(C,)`.

    The Hessian is `J_c' S J_c + sum_j p_j grad^2 (f_j - f_y)` with `lambda_max(S) <= 1/2`.

    >>> eye = torch.eye(2)
    >>> loss_curvature(Constants(lipschitz=1 - eye, curvature=0 * eye, logits=2.0))
    tensor([2., 2.])
    """
    rising, falling = constants.curvature.amax(1), constants.curvature.amax(0)
    return torch.maximum(constants.logits**2 / 2 + rising, falling)


def dual_norm(gradient: Tensor, eps: float, norm: Norm) -> Tensor:
    """`max g'd` over the unit ball of `norm`: `(B,)`. Checks the ball's radius as well."""
    if not 0 <= eps < math.inf:
        raise ValueError(f"requires a finite eps >= 0. Found {eps}.")
    if norm not in ("l2", "linf"):
        raise ValueError(f"requires 'l2' or 'linf'. Found {norm!r}.")
    length: Tensor = torch.linalg.vector_norm(gradient.flatten(1), 2 if norm == "l2" else 1, dim=1)
    return length
