"""Certified radii in l2: no smaller change of the input changes the class.

A certificate speaks of the function that the stored weights define in exact arithmetic. It is
computed in float64; margins are lowered by a running bound on their rounding error, slopes and
constants are raised by more than theirs, so what is returned is too small rather than too large.
A classifier evaluated in float32 can differ within its own rounding of a tie.

A box only helps: every radius here that bounds from below stays valid in it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from curvlab.bounds.constants import (
    Constants,
    Layers,
    constants_of,
    read_layers,
    slope_range,
)
from curvlab.bounds.radii import attack_radius, combined_radius, curvature_radius
from curvlab.calculus import jacobian_operator, require_batch
from curvlab.losses import check_labels

DOWN = 1 - 1e-9
SLOPE_ERROR = 1e-7  # of a float64 gradient, in units of the network's Lipschitz constant


class Certificate(NamedTuple):
    """Radii of one example each, zero where it is misclassified; `attack` bounds from above."""

    lipschitz: Tensor  # (B,), m / L
    curvature: Tensor  # (B,)
    combined: Tensor  # (B,), at least as large as both
    attack: Tensor  # (B,), the class is lost within it if there is no box; inf where unknown


class Margins(NamedTuple):
    """Margins `f_y - f_j` and the norms of their gradients, with what bounds their errors."""

    value: Tensor  # (B, C), infinite at y
    error: Tensor  # (B, C)
    slope: Tensor  # (B, C)
    slope_error: Tensor  # (B, C)


@torch.no_grad()
def certify(
    model: nn.Module, x: Tensor, y: Tensor, constants: Constants | None = None
) -> Certificate:
    """Lipschitz, curvature and combined radii of a feed-forward network, and an attack radius.

    `constants` are `network_constants(model, x.shape[1:])`, computed once for many batches. The
    true distance to the nearest other class lies between `combined` and `attack`.

    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.eye(2))
    >>> found = certify(model, torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    >>> [round(radius.item(), 4) for radius in found]  # affine: all radii are the distance
    [0.7071, 0.7071, 0.7071, 0.7071]
    """
    layers = read_layers(model, x.shape[1:])
    bounds = constants_of(layers) if constants is None else constants
    m = margins(layers, bounds, x, y)
    lipschitz, below, above = bounds.lipschitz[y], bounds.curvature[y], bounds.curvature[:, y].T
    value = m.value - m.error
    steep = torch.minimum(m.slope + m.slope_error, lipschitz)
    flat = (m.slope - m.slope_error).clamp(min=0)
    still = torch.full_like(below, torch.inf)
    others = torch.ones_like(value).scatter(1, y.unsqueeze(1), 0).bool()

    def smallest(radius: Tensor) -> Tensor:
        return torch.where(others, radius, torch.inf).amin(1)

    reached = smallest(attack_radius(m.value + m.error, flat, above)) / DOWN
    return Certificate(
        lipschitz=smallest(combined_radius(value, steep, still, lipschitz)) * DOWN,
        curvature=smallest(curvature_radius(value, steep, below)) * DOWN,
        combined=smallest(combined_radius(value, steep, below, lipschitz)) * DOWN,
        attack=reached,
    )


@torch.no_grad()
def dual_radius(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    constants: Constants | None = None,
    *,
    outer: int = 12,
    inner: int = 30,
) -> Tensor:
    """The curvature certificate by duality (CRC, Singla & Feizi, 2020): `(B,)`.

    Where `m_j(x + d) <= 0` and `eta >= 0`, `|d|^2 / 2 >= min_d |d|^2 / 2 + eta m_j(x + d)`. With
    `K >= -lambda_min` and `eta < 1 / K` the right side is strongly convex with modulus `1 - eta K`,
    so any point with gradient `r` bounds it by its value minus `|r|^2 / (2 (1 - eta K))`: the
    minimum need not be exact. Every multiplier that the search tries certifies, and the best
    counts, or the closed form `curvature_radius` where that is larger.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2, bias=False))
    >>> x, y = torch.ones(1, 2), model(torch.ones(1, 2)).argmax(1)
    >>> bool(dual_radius(model, x, y) >= certify(model, x, y).curvature)
    True
    """
    if min(outer, inner) < 1:
        raise ValueError(f"requires at least one step. Found outer={outer}, inner={inner}.")
    layers = read_layers(model, x.shape[1:])
    bounds = constants_of(layers) if constants is None else constants
    if not bool(bounds.curvature.isfinite().all()):
        raise ValueError("requires finite curvature constants. Found a rectifier's infinite ones.")
    m = margins(layers, bounds, x, y)
    value, lipschitz = m.value - m.error, bounds.lipschitz[y]
    steep = torch.minimum(m.slope + m.slope_error, lipschitz)
    closed = curvature_radius(value, steep, bounds.curvature[y])
    radius = closed.scatter(1, y.unsqueeze(1), torch.inf)
    certifiable = (value > 0).all(1, keepdim=True) & radius.isfinite()
    first = radius.argmin(1, keepdim=True)
    nearest = torch.zeros_like(certifiable).scatter(1, first, True)
    for chosen in (nearest, ~nearest):
        # a class that is farther already in closed form than the nearest one by duality can wait
        rivals = closed <= radius.gather(1, first)
        row, other = (chosen & certifiable & rivals).nonzero().T
        own = y[row]
        search = _Dual(layers, x.double()[row], own, other, bounds)
        certified = search.certify(value[row, other], steep[row, other], outer, inner)
        radius[row, other] = torch.maximum(closed[row, other], certified)
    return radius.amin(1) * DOWN


class _Dual(NamedTuple):
    """`|d|^2 / 2 + eta m_j(x + d)` for pairs of an example and a class."""

    layers: Layers
    center: Tensor
    own: Tensor
    other: Tensor
    bounds: Constants

    def certify(self, margin: Tensor, slope: Tensor, outer: int, inner: int) -> Tensor:
        """The largest radius that a bisection over the multiplier certifies for each pair."""
        lipschitz = self.bounds.lipschitz[self.own, self.other]
        # any larger K is valid too: it keeps the multipliers of nearly affine margins finite
        below = self.bounds.curvature[self.own, self.other]
        below = torch.maximum(below, 1e-3 * slope**2 / margin).clamp(min=1e-30)
        above = self.bounds.curvature[self.other, self.own]
        low, high = torch.zeros_like(below), 0.999 / below
        best, delta = torch.zeros_like(below), torch.zeros_like(self.center)
        for _ in range(outer):
            eta = (low + high) / 2
            curvatures = 1 - eta * below, 1 + eta * above
            delta, energy, gradient, left = self.minimize(eta, delta, curvatures, inner)
            error = self.layers.rounding(self.center + delta)
            rows = torch.arange(len(error), device=error.device)
            # the sum of both parts rounds like the larger one
            rounding = error[rows, self.own] + error[rows, self.other] + 1e-12 * left.abs()
            residual = gradient.flatten(1).norm(dim=1) + eta * SLOPE_ERROR * lipschitz
            bound = energy * DOWN - eta * rounding - residual**2 / (2 * curvatures[0])
            best = torch.maximum(best, bound)
            low, high = torch.where(left > 0, eta, low), torch.where(left > 0, high, eta)
        return (2 * best).sqrt()

    def minimize(
        self, eta: Tensor, delta: Tensor, curvatures: tuple[Tensor, Tensor], steps: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A point near the minimum, the value and gradient there, and the margin left.

        Barzilai and Borwein's steps, kept between the inverses of the extreme curvatures.
        """
        shape = [-1, *[1] * (delta.dim() - 1)]
        longest, shortest = (1 / curvature for curvature in curvatures)
        energy, gradient, left = self.evaluate(eta, delta)
        size = shortest
        for _ in range(steps):
            moved = delta - size.view(shape) * gradient
            energy, after, left = self.evaluate(eta, moved)
            step, change = (moved - delta).flatten(1), (after - gradient).flatten(1)
            product = (step * change).sum(1)
            ratio = torch.where(product > 0, step.square().sum(1) / product, shortest)
            size = torch.minimum(torch.maximum(ratio, shortest), longest)
            delta, gradient = moved, after
        return delta, energy, gradient, left

    def evaluate(self, eta: Tensor, delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Value, gradient and margin at `delta`."""
        with torch.enable_grad():
            leaf = delta.detach().requires_grad_()
            logits = self.layers.model(self.center + leaf)
            rows = torch.arange(len(logits), device=logits.device)
            left = logits[rows, self.own] - logits[rows, self.other]
            energy = leaf.square().flatten(1).sum(1) / 2 + eta * left
            (gradient,) = torch.autograd.grad(energy.sum(), leaf)
        return energy.detach(), gradient, left.detach()


def margins(layers: Layers, constants: Constants, x: Tensor, y: Tensor) -> Margins:
    """Margins and slopes in float64, and bounds on their rounding errors."""
    x = require_batch(x, "input").detach().double()
    operator = jacobian_operator(layers.model, x)
    logits, rows = operator.output.detach(), operator.matrix().flatten(2)
    check_labels(logits, y)
    own = y.unsqueeze(1)
    value = (logits.gather(1, own) - logits).scatter(1, own, torch.inf)
    error = layers.rounding(x)
    error = error.gather(1, own) + error
    slope = (rows[torch.arange(len(y)), y].unsqueeze(1) - rows).norm(dim=2)
    return Margins(value, error, slope, SLOPE_ERROR * constants.lipschitz[y])


@torch.no_grad()
def local_lipschitz_radius(
    model: nn.Module, x: Tensor, y: Tensor, constants: Constants | None = None, steps: int = 40
) -> Tensor:
    """Hein and Andriushchenko's (2017) radius for a network with one hidden layer: `(B,)`.

    The largest R found with `m_j >= R sup |grad m_j|` for every j, the supremum over the ball of
    radius R. On it each pre-activation moves by at most `R |w_i|`, which bounds its slope by an
    interval; the middle of the intervals acts as one vector, the rest through `t' |W W'| t` or
    `|W|^2 |t|^2`, whichever is smaller. Never below `m / L`: the supremum is capped by L.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2, bias=False))
    >>> x, y = torch.ones(1, 2), model(torch.ones(1, 2)).argmax(1)
    >>> bool(local_lipschitz_radius(model, x, y) >= certify(model, x, y).lipschitz)
    True
    """
    layers = read_layers(model, x.shape[1:])
    if len(layers.affine) != 2 or not isinstance(first := layers.affine[0].layer, nn.Linear):
        raise ValueError(
            "requires one hidden layer, fully connected. "
            f"Found {len(layers.affine) - 1} hidden layers in {model!r}."
        )
    if steps < 1:
        raise ValueError(f"requires at least one step. Found {steps}.")
    bounds = constants_of(layers) if constants is None else constants
    m = margins(layers, bounds, x, y)
    value = (m.value - m.error).clamp(min=0)
    lipschitz = bounds.lipschitz[y]
    units = torch.eye(len(lipschitz.T), dtype=value.dtype, device=value.device)
    outward = layers.affine[1].pull(units).flatten(1)
    v = outward[y].unsqueeze(1) - outward  # (B, C, hidden)
    weight = (
        layers.affine[0]
        .pull(torch.eye(first.out_features, dtype=value.dtype, device=value.device))
        .flatten(1)
    )
    gram, norm = (weight @ weight.T), layers.affine[0].norm()
    z = layers.affine[0].push(x.double(), bias=True)
    rates = weight.norm(dim=1) * (1 + 1e-9)

    def reach(radius: Tensor) -> Tensor:
        """`min_j m_j / sup |grad m_j|` on balls of these radii."""
        width = radius.unsqueeze(1) * rates + 1e-7 * (1 + z.abs())
        low, high = slope_range(layers.activations[0], z - width, z + width)
        middle, rest = (
            ((low + high) / 2).unsqueeze(1) * v,
            ((high - low) / 2).unsqueeze(1) * v.abs(),
        )
        whole = (middle @ gram * middle).sum(2).clamp(min=0).sqrt()
        spread = torch.minimum(
            (rest @ gram.abs() * rest).sum(2).clamp(min=0).sqrt(), norm * rest.norm(dim=2)
        )
        local = torch.minimum(whole + spread + SLOPE_ERROR * lipschitz, lipschitz)
        return torch.where(local > 0, value / local, torch.inf).amin(1)

    inside = torch.zeros_like(value[:, 0])
    certified, outside = inside, reach(inside).clamp(max=1e9)
    for _ in range(steps):
        radius = (inside + outside) / 2
        found = torch.minimum(reach(radius), radius)
        certified = torch.maximum(certified, found)
        inside = torch.where(found >= radius, radius, inside)
        outside = torch.where(found >= radius, outside, radius)
    return torch.maximum(certified, value.div(lipschitz).amin(1)) * DOWN
