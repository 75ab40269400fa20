"""Spectra of symmetric operators known only by their products, one for each example.

An operator maps `(B, *shape)` to `(B, *shape)` and is symmetric for each example. All rows
advance together at the price of one product; a row that has nothing left to find rests.
Every threshold is relative to the operator's own size, so a scale of 1e-13 works like 1.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize, pad

from curvlab.calculus import require_batch, require_like

Operator = Callable[[Tensor], Tensor]
Which = Literal["magnitude", "largest", "smallest"]

CONVERGED = 1e-2  # relative residual; the value's own error is near its square over the gap


class Eigenpair(NamedTuple):
    """An eigenvalue estimate for each example and what it is worth.

    `residual` is `|A v - value v|`: an eigenvalue lies that close to `value`. `converged` says
    whether it is small beside `value`; `products` counts the operator's calls.
    """

    value: Tensor  # (B,)
    vector: Tensor  # (B, *shape), unit length
    residual: Tensor  # (B,)
    converged: Tensor  # (B,), bool
    products: int


class Krylov(NamedTuple):
    """Lanczos' `A Q = Q T + r e_k'` for each example, `k = size`; beyond it all is zero."""

    diagonal: Tensor  # (B, steps), of T
    off_diagonal: Tensor  # (B, steps - 1), of T
    basis: Tensor  # (B, steps, *shape), orthonormal rows of Q'
    residual: Tensor  # (B, *shape), r
    size: Tensor  # (B,), live steps


class Ritz(NamedTuple):
    """Eigenpairs of T, ascending, the `size` live ones first: `coordinates[b, :, i]` is in Q."""

    values: Tensor  # (B, steps)
    coordinates: Tensor  # (B, steps, steps)


class Density(NamedTuple):
    """A spectral density for each example as weighted points; each row's weights sum to one."""

    nodes: Tensor  # (B, probes * steps)
    weights: Tensor  # (B, probes * steps)


class Estimate(NamedTuple):
    """A random estimate for each example with its standard error."""

    value: Tensor  # (B,)
    standard_error: Tensor  # (B,); infinite where one probe cannot tell


def power_iteration(
    operator: Operator, start: Tensor, steps: int, tolerance: float | None = None
) -> Eigenpair:
    """The eigenvalue of largest magnitude by repeated products (von Mises, 1929).

    `value` is the Rayleigh quotient of `vector`. Where +a and -a are both largest it never
    converges and says so; Lanczos separates them. With a `tolerance` it stops when every
    relative residual is below it.

    >>> scale = torch.tensor([[3.0, 1.0]])
    >>> power_iteration(lambda v: scale * v, torch.ones(1, 2), steps=20).value
    tensor([3.])
    """
    _at_least(1, steps, "steps")
    limit = CONVERGED if tolerance is None else tolerance
    v = unit(start).flatten(1)
    for products in range(1, steps + 1):
        image = _product(operator, v, start.shape)
        value = (v * image).sum(1)
        residual = vector_norm(image - value.unsqueeze(1) * v, dim=1)
        converged = residual <= limit * value.abs()
        if products == steps or (tolerance is not None and bool(converged.all())):
            break
        v = unit(image)
    return Eigenpair(value, v.view(start.shape), residual, converged, products)


def lanczos(
    operator: Operator,
    start: Tensor,
    steps: int,
    tolerance: float | None = None,
    which: Which = "magnitude",
) -> Krylov:
    """Lanczos' tridiagonalization with full reorthogonalization (Lanczos, 1950).

    Every new direction is orthogonalized against all earlier ones twice, which is enough
    (Parlett, 1980). A row whose Krylov space is exhausted keeps what it has and rests: the test
    is relative to the operator's size. With a `tolerance` the iteration stops when every
    row's wanted Ritz value, `which`, has a relative residual below it.

    >>> scale = torch.tensor([[1.0, 2.0, 4.0]])
    >>> krylov = lanczos(lambda v: scale * v, torch.ones(1, 3), steps=3)
    >>> ritz(krylov).values
    tensor([[1.0000, 2.0000, 4.0000]])
    """
    _at_least(1, steps, "steps")
    q = unit(start).flatten(1)
    basis = q.new_zeros(len(q), steps, q.shape[1])
    diagonal, off_diagonal = q.new_zeros(len(q), steps), q.new_zeros(len(q), steps - 1)
    scale, size = q.new_zeros(len(q)), q.new_zeros(len(q), dtype=torch.int64)
    live = torch.ones_like(size, dtype=torch.bool)
    basis[:, 0] = q
    for j in range(steps):
        image = _product(operator, basis[:, j], start.shape)
        size += live
        scale = torch.maximum(scale, vector_norm(image, dim=1))
        r, overlap = _orthogonalize(image, basis[:, : j + 1])
        r, _ = _orthogonalize(r, basis[:, : j + 1])
        length = vector_norm(r, dim=1)
        live = live & (length > 100 * torch.finfo(q.dtype).eps * scale)
        residual = r * live.unsqueeze(1)
        diagonal[:, j] = overlap[:, j]
        if j + 1 == steps or not bool(live.any()):
            break
        if tolerance is not None:
            so_far = Krylov(diagonal[:, : j + 1], off_diagonal[:, :j], basis, residual, size)
            value, _, error = _extreme(so_far, which)
            if bool((error <= tolerance * value.abs()).all()):
                break
        off_diagonal[:, j] = length * live
        basis[:, j + 1] = residual / torch.where(live, length, 1).unsqueeze(1)
    shaped = basis.view(len(q), steps, *start.shape[1:]), residual.view(start.shape)
    return Krylov(diagonal, off_diagonal, *shaped, size)


def ritz(krylov: Krylov) -> Ritz:
    """Eigenpairs of each T; rows of zeros past `size` are kept apart, not taken for zeros."""
    diagonal, side, _, _, size = krylov
    live = torch.arange(diagonal.shape[1], device=size.device) < size.unsqueeze(1)
    largest = torch.maximum(diagonal.abs(), pad(side, (0, 1))).amax(1, keepdim=True)
    scale = torch.where(largest > 0, largest, 1)
    # |T| <= 3 largest: a rest position at 4 sorts behind every live eigenvalue
    projected = torch.diag_embed(torch.where(live, diagonal / scale, 4.0))
    # eigh reads the lower triangle alone
    values, coordinates = torch.linalg.eigh(projected + torch.diag_embed(side / scale, -1))
    return Ritz(values * scale * live, coordinates * live.unsqueeze(1))


def top_eigenpair(
    operator: Operator,
    start: Tensor,
    steps: int = 6,
    which: Which = "magnitude",
    tolerance: float | None = None,
    generator: Generator | None = None,
) -> Eigenpair:
    """An extreme eigenpair of each example from `steps` Lanczos products.

    Started at the input gradient, six products settle the input Hessian of a plainly trained
    network. A gradient penalty turns the top eigenvector away from the gradient: there a dozen are
    needed, and `converged` tells. The gradient never sees the null space, which holds the extreme
    value 0 of a semidefinite operator, so "largest" and "smallest" add a tenth of a random start.

    >>> scale = torch.tensor([[-3.0, 1.0, 2.0]])
    >>> pair = top_eigenpair(lambda v: scale * v, torch.ones(1, 3), which="smallest")
    >>> pair.value.round(decimals=4), pair.converged, pair.products
    (tensor([-3.]), tensor([True]), 3)
    """
    if which not in ("magnitude", "largest", "smallest"):
        raise ValueError(f"requires 'magnitude', 'largest' or 'smallest'. Found {which!r}.")
    if which != "magnitude":
        start = unit(start) + 0.1 * unit(random_like(start, generator))
    krylov = lanczos(operator, start, steps, tolerance, which)
    value, coordinates, residual = _extreme(krylov, which)
    vector = torch.einsum("bk,bk...->b...", coordinates, krylov.basis)
    limit = CONVERGED if tolerance is None else tolerance
    products = int(krylov.size.max())
    return Eigenpair(value, vector, residual, residual <= limit * value.abs(), products)


def spectral_density(
    operator: Operator, like: Tensor, probes: int, steps: int, generator: Generator | None = None
) -> Density:
    """Stochastic Lanczos quadrature (Golub & Welsch, 1969; Ghorbani et al., 2019).

    From one random unit start, the Ritz values weighted by their squared first coordinates
    integrate every polynomial of degree `2 steps - 1` exactly; probes are averaged.

    >>> scale = torch.tensor([[1.0, 3.0]])
    >>> nodes, weights = spectral_density(lambda v: scale * v, torch.ones(1, 2), 1, 2)
    >>> nodes.round(decimals=4), weights.sum().round(decimals=4)
    (tensor([[1., 3.]]), tensor(1.))
    """
    _at_least(1, probes, "probes")
    require_batch(like, "batch")
    draws = [ritz(lanczos(operator, random_like(like, generator), steps)) for _ in range(probes)]
    weights = torch.cat([draw.coordinates[:, 0] ** 2 for draw in draws], 1) / probes
    return Density(torch.cat([draw.values for draw in draws], 1), weights)


def trace(
    operator: Operator,
    like: Tensor,
    probes: int,
    generator: Generator | None = None,
    method: Literal["hutchinson", "hutch++"] = "hutchinson",
) -> Estimate:
    """The trace of each example's operator from `probes` products.

    "hutchinson": the mean of `z'Az` over random signs, of variance `2 sum_{i != j} a_ij^2` each
    (Hutchinson, 1990). "hutch++": a third of the products sketch the range, a third take the
    trace on it exactly, a third estimate the rest (Meyer et al., 2021); exact once the sketch is
    as wide as the rank.

    >>> scale = torch.tensor([[1.0, 3.0]])
    >>> trace(lambda v: scale * v, torch.ones(1, 2), probes=2)
    Estimate(value=tensor([4.]), standard_error=tensor([0.]))
    """
    if method not in ("hutchinson", "hutch++"):
        raise ValueError(f"requires 'hutchinson' or 'hutch++'. Found {method!r}.")
    _at_least(3 if method == "hutch++" else 1, probes, "probes")
    flat = require_batch(like, "batch").flatten(1)
    basis, exact = flat.new_zeros(len(flat), 0, flat.shape[1]), flat.new_zeros(len(flat))
    if method == "hutch++":
        width = min(probes // 3, flat.shape[1])
        draws = [random_like(flat, generator) for _ in range(width)]
        sketch = torch.stack([_product(operator, z, like.shape) for z in draws], 2)
        basis = torch.linalg.qr(sketch).Q.mT
        for q in basis.unbind(1):
            exact = exact + (q * _product(operator, q, like.shape)).sum(1)
        probes -= 2 * width
    signs = (random_like(flat, generator).sign() for _ in range(probes))
    rests = (_orthogonalize(z, basis)[0] for z in signs)
    drawn = torch.stack([(z * _product(operator, z, like.shape)).sum(1) for z in rests], 1)
    error = drawn.std(1) / probes**0.5 if probes > 1 else torch.full_like(exact, torch.inf)
    return Estimate(exact + drawn.mean(1), error)


def unit(v: Tensor) -> Tensor:
    """`v` at unit length for each example; a row of zeros becomes a fixed random direction."""
    flat = require_batch(v, "start").detach().flatten(1)
    largest = flat.abs().amax(1, keepdim=True)
    if not bool((largest > 0).all()):
        flat = torch.where(largest > 0, flat, random_like(flat, Generator().manual_seed(0)))
    flat = flat / torch.where(largest > 0, largest, 1)
    return normalize(flat, dim=1).view(v.shape)


def random_like(like: Tensor, generator: Generator | None) -> Tensor:
    """Gaussian noise in the shape of `like`, drawn where the generator lives."""
    source = like.device if generator is None else generator.device
    noise = torch.randn(like.shape, dtype=like.dtype, device=source, generator=generator)
    return noise.to(like.device)


def _extreme(krylov: Krylov, which: Which) -> tuple[Tensor, Tensor, Tensor]:
    """The chosen Ritz value, its coordinates in the basis, and its residual; of a and -a, a."""
    found = ritz(krylov)
    rows = torch.arange(len(krylov.size), device=krylov.size.device)
    index, last = torch.zeros_like(krylov.size), krylov.size - 1
    if which != "smallest":
        rounding = 1 + 100 * torch.finfo(found.values.dtype).eps
        top_wins = rounding * found.values[rows, last] >= -found.values[:, 0]
        index = torch.where(top_wins | (which == "largest"), last, index)
    coordinates = found.coordinates[rows, :, index]
    residual = vector_norm(krylov.residual.flatten(1), dim=1) * coordinates[rows, last].abs()
    return found.values[rows, index], coordinates, residual


def _orthogonalize(v: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    overlap = (basis @ v.unsqueeze(2)).squeeze(2)
    return v - (overlap.unsqueeze(1) @ basis).squeeze(1), overlap


def _product(operator: Operator, v: Tensor, shape: torch.Size) -> Tensor:
    image = operator(v.reshape(shape)).detach().flatten(1)
    require_like(image, v, "product")
    return require_batch(image, "product")


def _at_least(least: int, found: int, name: str) -> None:
    if found < least:
        raise ValueError(f"requires at least {least} {name}. Found {found}.")
