"""The exact maximum of a quadratic over a Euclidean ball, from its spectrum."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

NEWTON_STEPS = 80  # a step at least multiplies the distance from the pole by 1.5: 1e14 in all


class TrustRegion(NamedTuple):
    """The maximum of `g'd + d'Hd/2` over `|d| <= epsilon` for each example.

    `step` is a maximizer in the eigenbasis and `multiplier` is the `mu` of its certificate:
    `(mu - H) step = g`, `mu >= lambda_max`, `mu >= 0`, and `mu (epsilon - |step|) = 0`, which
    together prove that no other point of the ball does better.
    """

    value: Tensor  # (B,)
    step: Tensor  # (B, n)
    multiplier: Tensor  # (B,)


def trust_region(eigenvalues: Tensor, coefficients: Tensor, epsilon: float | Tensor) -> TrustRegion:
    """Maximizes `g'd + d'Hd/2` over `|d| <= epsilon` for each example (Moré & Sorensen, 1983).

    `eigenvalues` of H, in any order, and `coefficients` of g in its eigenvectors: both `(B, n)`;
    `epsilon` one radius, or one for each example. The maximizer solves `(mu - H) d = g` with the
    one `mu >= max(lambda_max, 0)` that puts it on the sphere. With `t` the distance of `mu` from
    that bound, `1 / |d(t)|` is concave, so Newton's method started left of the root climbs to it
    and never passes it. If no such `mu` exists the maximizer is inside the ball, or, where
    lambda_max > 0 and g has no part along its eigenvectors (the hard case), one of the two points
    of the sphere that such an eigenvector reaches from `d(0)`. All arithmetic is in float64.

    >>> H, g = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.0, 3.0]])  # hard: g misses the top
    >>> trust_region(H, g, epsilon=2.0)
    TrustRegion(value=tensor([5.5000]), step=tensor([[1.7321, 1.0000]]), multiplier=tensor([2.]))
    """
    shape = tuple(eigenvalues.shape)
    if len(shape) != 2 or eigenvalues.numel() == 0 or coefficients.shape != eigenvalues.shape:
        found = f"{shape} and {tuple(coefficients.shape)}"
        raise ValueError(f"requires eigenvalues and coefficients (B, n). Found {found}.")
    values, g = eigenvalues.detach().double(), coefficients.detach().double()
    if not bool(values.isfinite().all() and g.isfinite().all()):
        raise ValueError("requires finite eigenvalues and coefficients. Found NaN or infinity.")
    radius = torch.as_tensor(epsilon, dtype=values.dtype, device=values.device)
    if not bool((radius > 0).all() and radius.isfinite().all()):
        raise ValueError(f"requires a positive, finite epsilon. Found {epsilon}.")
    radius = radius.expand(shape[0])
    # the unit ball: d = radius * z
    a, curvature = g * radius.unsqueeze(1), values * radius.square().unsqueeze(1)
    top, index = curvature.max(1)
    bound = top.clamp(min=0)
    gap = bound.unsqueeze(1) - curvature
    t = (a.abs() - gap).amax(1).clamp(min=0)
    for _ in range(NEWTON_STEPS):
        z = _solve(a, gap, t)
        length = vector_norm(z, dim=1)
        slope = _solve(z, gap, t).mul(z).sum(1)  # of -|z|^2 / 2
        further = t + torch.where(length > 1, length.square() * (length - 1) / slope, 0)
        if torch.equal(further, t):  # a fixed point: more steps would repeat it
            break
        t = further
    z = _solve(a, gap, t)
    length = vector_norm(z, dim=1)
    z = z / length.clamp(min=1).unsqueeze(1)
    hard = (top > 0) & (t == 0)
    missing = torch.where(hard, (1 - length.square()).clamp(min=0), 0).unsqueeze(1)
    along = z.gather(1, index.unsqueeze(1))
    sign = torch.where(along < 0, -1.0, 1.0)
    z = z.scatter(1, index.unsqueeze(1), sign * (along.square() + missing).sqrt())
    value = (a * z + curvature * z.square() / 2).sum(1)
    step, multiplier = z * radius.unsqueeze(1), values.amax(1).clamp(min=0) + t / radius.square()
    return TrustRegion(*(part.to(eigenvalues.dtype) for part in (value, step, multiplier)))


def _solve(a: Tensor, gap: Tensor, t: Tensor) -> Tensor:
    """`a / (t + gap)`, zero where `a` is: at the pole itself only the hard case is left."""
    return torch.where(a == 0, 0, a / torch.where(a == 0, 1, t.unsqueeze(1) + gap))
