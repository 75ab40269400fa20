"""Spectra from products against explicit spectra, SciPy, theorems and exhaustive sums."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator, eigsh
from truth import dense, generator, hessians, problem, rows, symmetric

from curvlab import data, zoo
from curvlab.calculus import hessian_operator, input_gradient, parameter_hessian
from curvlab.losses import margin_cross_entropy
from curvlab.spectrum import (
    lanczos,
    power_iteration,
    random_like,
    ritz,
    spectral_density,
    top_eigenpair,
    trace,
    unit,
)

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
SCALES = [10.0**e for e in (-13, -6, 0, 6, 12)]
SEEDS = st.integers(0, 2**31)


def gaussian(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def counted(operator):
    """The operator, and the list of its calls."""
    calls = []

    def product(v):
        calls.append(v)
        return operator(v)

    return product, calls


def tridiagonal(krylov):
    matrix = torch.diag_embed(krylov.diagonal)
    for side in (-1, 1):
        matrix = matrix + torch.diag_embed(krylov.off_diagonal, side)
    return matrix


# --- Lanczos: the decomposition


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 9),
    st.sampled_from(SCALES),
    st.sampled_from([torch.float32, torch.float64]),
    SEEDS,
)
def test_lanczos_relation(batch, size, steps, rank, scale, dtype, seed):
    spectrum = gaussian(batch, size, seed=seed)
    spectrum[:, min(rank, size) :] = 0
    matrix = scale * symmetric(spectrum, seed)[0]
    matrix = matrix.to(dtype)
    krylov = lanczos(dense(matrix), gaussian(batch, size, seed=seed + 1, dtype=dtype), steps)
    q = krylov.basis.mT
    last = torch.nn.functional.one_hot(krylov.size - 1, steps).to(dtype)
    right = q @ tridiagonal(krylov) + krylov.residual.unsqueeze(2) * last.unsqueeze(1)
    eps = torch.finfo(dtype).eps
    # a row that rests leaves out a remainder below 100 eps of its size
    assert (matrix @ q - right).abs().max() <= 300 * eps * matrix.abs().sum(2).max() + 1e-30
    live = torch.arange(steps) < krylov.size.unsqueeze(1)
    gram = krylov.basis @ krylov.basis.mT
    assert (gram - torch.diag_embed(live.to(dtype))).abs().max() <= 20 * eps
    assert (krylov.size <= size).all()
    overlap = (krylov.basis @ krylov.residual.unsqueeze(2)).abs().max()
    assert overlap <= 300 * eps * matrix.abs().sum(2).max()


def test_full_lanczos_reconstructs_the_operator():
    matrix, _ = symmetric(gaussian(3, 8))
    krylov = lanczos(dense(matrix), gaussian(3, 8, seed=1), 8)
    q = krylov.basis.mT
    torch.testing.assert_close(q @ tridiagonal(krylov) @ q.mT, matrix)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 10), SEEDS)
def test_ritz_pairs_are_scipys(steps, seed):
    krylov = lanczos(dense(symmetric(gaussian(2, 12, seed=seed), seed)[0]), gaussian(2, 12), steps)
    values, coordinates = ritz(krylov)
    for i in range(2):
        wanted, vectors = eigh_tridiagonal(krylov.diagonal[i], krylov.off_diagonal[i])
        torch.testing.assert_close(values[i], torch.from_numpy(wanted))
        overlaps = (coordinates[i].T @ torch.from_numpy(vectors)).abs()
        torch.testing.assert_close(
            overlaps, torch.eye(steps, dtype=overlaps.dtype), atol=1e-6, rtol=0
        )


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), SEEDS)
def test_ritz_values_interlace_and_stay_inside(steps, seed):
    spectrum = gaussian(3, 10, seed=seed)
    operator, start = dense(symmetric(spectrum, seed)[0]), gaussian(3, 10, seed=seed + 1)
    fewer = ritz(lanczos(operator, start, steps - 1)).values
    more = ritz(lanczos(operator, start, steps)).values
    slack = 1e-12
    assert (more[:, :-1] <= fewer + slack).all()
    assert (more[:, 1:] >= fewer - slack).all()
    assert (more >= spectrum.amin(1, keepdim=True) - slack).all()
    assert (more <= spectrum.amax(1, keepdim=True) + slack).all()


def test_sixty_float32_steps_stay_orthogonal_and_breed_no_ghosts():
    spectrum = torch.cat([torch.tensor([100.0, 60, 30]), torch.logspace(-3, 0, 197)]).expand(4, 200)
    matrix = symmetric(spectrum)[0].float()
    krylov = lanczos(dense(matrix), gaussian(4, 200, seed=1, dtype=torch.float32), 60)
    gram = krylov.basis @ krylov.basis.mT
    assert (gram - torch.eye(60)).abs().max() <= 1e-6
    values = ritz(krylov).values
    for eigenvalue in (100, 60, 30):
        assert ((values - eigenvalue).abs() < 1e-3 * eigenvalue).sum(1).tolist() == [1, 1, 1, 1]


# --- hard batches


def hard_batch(scale, dtype):
    """Operators of rank 0, 1, 2 and full, definite and not, +-1, multiples of I: `(B, d, d)`."""
    size = 6
    spectra = torch.zeros(9, size, dtype=torch.float64)
    spectra[1, 0] = 5
    spectra[2, :2] = torch.tensor([5, 3])
    spectra[3, :2] = torch.tensor([-4, 1])
    spectra[4] = 1
    spectra[5] = -1
    spectra[6] = torch.tensor([3, 3, 3, -1, -1, 0])
    spectra[7] = torch.tensor([6, 5, 4, 3, 2, 1])
    spectra[8] = torch.tensor([-6, 5, 4, -3, 2, 1])
    return (scale * symmetric(spectra)[0]).to(dtype), scale * spectra


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
@pytest.mark.parametrize("steps", [6, 9])
def test_every_rank_and_scale_in_one_batch(scale, dtype, which, steps):
    matrix, spectra = hard_batch(scale, dtype)
    start = gaussian(9, 6, seed=5, dtype=dtype)
    pair = top_eigenpair(dense(matrix), start, steps, which, generator=generator(0))
    wanted = {
        "largest": spectra.amax(1),
        "smallest": spectra.amin(1),
        "magnitude": spectra.gather(1, spectra.abs().argmax(1, keepdim=True)).squeeze(1),
    }[which]
    largest = spectra.abs().amax(1)
    rounding = 30 * torch.finfo(dtype).eps
    assert ((pair.value.double() - wanted).abs() <= rounding * largest).all()
    assert pair.vector.isfinite().all()
    torch.testing.assert_close(pair.vector.norm(dim=1), torch.ones(9, dtype=dtype))
    error = dense(matrix)(pair.vector) - pair.value.unsqueeze(1) * pair.vector
    # a resting row drops a remainder of up to 100 eps
    assert (error.norm(dim=1) <= 10 * rounding * largest).all()
    assert pair.products <= 6


@pytest.mark.parametrize("scale", SCALES)
def test_size_counts_what_the_start_can_reach(scale):
    matrix, _ = hard_batch(scale, torch.float64)
    krylov = lanczos(dense(matrix), gaussian(9, 6, seed=5), 9)
    # distinct eigenvalues, the zero of a null space included
    assert krylov.size.tolist() == [1, 2, 3, 3, 1, 1, 3, 6, 6]


def test_minus_identity_has_no_eigenvalue_zero():
    pair = top_eigenpair(lambda v: -v, gaussian(2, 5), 4, "largest")
    torch.testing.assert_close(pair.value, -torch.ones(2, dtype=torch.float64))
    assert pair.products == 1


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_row_that_dies_harms_no_other(steps):
    matrix, _ = hard_batch(1.0, torch.float64)
    start = gaussian(9, 6, seed=5)
    together = lanczos(dense(matrix), start, steps)
    order = torch.randperm(9, generator=generator(1))
    shuffled = lanczos(dense(matrix[order]), start[order], steps)
    for i in range(9):
        alone = lanczos(dense(matrix[i : i + 1]), start[i : i + 1], steps)
        for part, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(part[0], whole[i], atol=1e-12, rtol=1e-9)
    for part, whole in zip(shuffled, together, strict=True):
        torch.testing.assert_close(part, whole[order], atol=1e-12, rtol=1e-9)


def test_zero_starts_become_the_same_random_direction():
    matrix, _ = hard_batch(1.0, torch.float64)
    for method in (power_iteration, top_eigenpair):
        first = method(dense(matrix), torch.zeros(9, 6, dtype=torch.float64), 6)
        second = method(dense(matrix), torch.zeros(9, 6, dtype=torch.float64), 6)
        assert first.value.equal(second.value)
        assert first.value[7].item() > 4
    start = unit(torch.tensor([[0.0, 0, 0], [0, 3e-30, 0], [0, 0, -1e30]]))
    torch.testing.assert_close(start.norm(dim=1), torch.ones(3))
    assert start[1:].tolist() == [[0, 1, 0], [0, 0, -1]]


# --- extreme eigenpairs


@pytest.mark.parametrize(
    ("which", "scipys"), [("largest", "LA"), ("smallest", "SA"), ("magnitude", "LM")]
)
def test_extremes_are_scipys(which, scipys):
    matrix, _ = symmetric(gaussian(3, 40))
    pair = top_eigenpair(dense(matrix), gaussian(3, 40, seed=1), 40, which)
    for i in range(3):
        value, vector = eigsh(matrix[i].numpy(), k=1, which=scipys)
        assert pair.value[i].item() == pytest.approx(value[0], rel=1e-10)
        assert abs(pair.vector[i].numpy() @ vector[:, 0]) == pytest.approx(1, abs=1e-8)
    assert pair.converged.all()


@pytest.mark.parametrize("activation", ["softplus", "tanh", "relu"])
def test_input_curvature_of_networks(activation):
    model, x, y = problem(activation, "cnn", batch=4)
    operator = hessian_operator(lambda x: margin_cross_entropy(model(x), y), x)
    explicit = torch.linalg.eigvalsh(hessians(model, x, y))
    for which, wanted in (("largest", explicit[:, -1]), ("smallest", explicit[:, 0])):
        pair = top_eigenpair(operator, operator.gradient, 16, which, generator=generator(0))
        torch.testing.assert_close(pair.value, wanted, atol=1e-10, rtol=1e-7)
        assert pair.vector.shape == x.shape


def test_parameter_curvature_by_the_same_kernel_and_scipy():
    model, x, y = problem("tanh", batch=8)
    operator = parameter_hessian(lambda m: margin_cross_entropy(m(x), y).mean(), model)
    size = operator.gradient.shape[1]

    def product(v):
        return operator(torch.as_tensor(v, dtype=torch.float64).view(1, -1))[0].numpy()

    wanted = eigsh(LinearOperator((size, size), product, dtype=np.float64), k=1, which="LM")[0][0]
    pair = top_eigenpair(operator, operator.gradient, 30)
    assert pair.value.item() == pytest.approx(wanted, rel=1e-6)
    full = spectral_density(operator, operator.gradient, 1, size, generator(0)).nodes
    explicit = torch.linalg.eigvalsh(rows(operator, operator.gradient.detach())[0])
    assert full.max().item() == pytest.approx(explicit.max().item(), rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6), SEEDS, st.sampled_from(["largest", "smallest", "magnitude"]))
def test_an_eigenvalue_lies_within_the_residual(steps, seed, which):
    spectrum = gaussian(4, 9, seed=seed)
    operator = dense(symmetric(spectrum, seed)[0])
    for pair in (
        top_eigenpair(
            operator, gaussian(4, 9, seed=seed + 1), steps, which, generator=generator(1)
        ),
        power_iteration(operator, gaussian(4, 9, seed=seed + 1), steps),
    ):
        error = operator(pair.vector) - pair.value.unsqueeze(1) * pair.vector
        torch.testing.assert_close(error.norm(dim=1), pair.residual, atol=1e-12, rtol=1e-6)
        distance = (spectrum - pair.value.unsqueeze(1)).abs().amin(1)
        assert (distance <= pair.residual + 1e-12).all()
        assert pair.converged.equal(pair.residual <= 1e-2 * pair.value.abs())


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), SEEDS)
def test_kaniel_saad_bound(steps, seed):
    spectrum = gaussian(5, 9, seed=seed).sort(1, descending=True).values
    matrix, basis = symmetric(spectrum, seed)
    start = gaussian(5, 9, seed=seed + 1)
    first = (unit(start).unsqueeze(1) @ basis)[:, 0, 0].abs()
    tangent = (1 - first**2).clamp(min=0).sqrt() / first
    top, second, least = spectrum[:, 0], spectrum[:, 1], spectrum[:, -1]
    argument = 1 + 2 * (top - second) / (second - least)
    chebyshev = torch.cosh((steps - 1) * torch.acosh(argument))
    bound = (top - least) * (tangent / chebyshev) ** 2
    error = top - ritz(lanczos(dense(matrix), start, steps)).values.amax(1)
    assert (error >= -1e-12).all()
    assert (error <= bound + 1e-12).all()
    if steps == 1:  # the bound is that of the Rayleigh quotient, slack by the spread at most
        cosine = 1 / (1 + tangent**2)
        assert (error >= bound * cosine * (top - second) / (top - least) - 1e-12).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), SEEDS)
def test_power_iteration_bound(steps, seed):
    spectrum = gaussian(5, 7, seed=seed)
    spectrum = spectrum.gather(1, spectrum.abs().argsort(1, descending=True))
    matrix, basis = symmetric(spectrum, seed)
    start = gaussian(5, 7, seed=seed + 1)
    pair = power_iteration(dense(matrix), start, steps)

    def tangent(v):
        first = (v.unsqueeze(1) @ basis)[:, 0, 0].abs()
        rest = (v.unsqueeze(1) @ basis)[:, 0, 1:].norm(dim=1)
        return rest / first

    ratio = (spectrum[:, 1] / spectrum[:, 0]).abs() ** (steps - 1)
    angle = tangent(pair.vector)
    assert (angle <= tangent(unit(start)) * ratio + 1e-9).all()
    spread = spectrum.amax(1) - spectrum.amin(1)
    assert ((pair.value - spectrum[:, 0]).abs() <= spread * angle**2 + 1e-9).all()


def test_a_tie_of_both_signs():
    matrix, _ = symmetric(torch.tensor([[2.0, -2, 1, 0.5, 0]]).expand(8, 5))
    start = gaussian(8, 5, seed=1)
    pair = top_eigenpair(dense(matrix), start, 5)
    torch.testing.assert_close(pair.value, torch.full((8,), 2.0, dtype=torch.float64))
    assert pair.converged.all()
    below = power_iteration(dense(matrix), start, 200)
    assert not below.converged.any()
    assert (below.value.abs() < 2).all()
    assert below.products == 200


def test_power_iteration_stops_when_every_row_has_converged():
    matrix, _ = symmetric([[4.0, 1, 0], [4, 3, 0]])
    operator, calls = counted(dense(matrix))
    pair = power_iteration(operator, gaussian(2, 3), 500, tolerance=1e-6)
    assert pair.converged.all()
    assert pair.products == len(calls) < 100
    relative = pair.residual / pair.value
    assert (relative <= 1e-6).all()
    torch.testing.assert_close(pair.value, torch.full((2,), 4.0, dtype=torch.float64))
    one_less = power_iteration(dense(matrix), gaussian(2, 3), pair.products - 1, tolerance=1e-6)
    assert not one_less.converged.all()


@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
def test_lanczos_stops_on_the_residual_of_the_wanted_end(which):
    # the top stands alone, the bottom is crowded
    spectrum = torch.cat([torch.tensor([50.0]), torch.linspace(-1, 1, 39)]).expand(3, 40)
    operator, calls = counted(dense(symmetric(spectrum)[0]))
    pair = top_eigenpair(
        operator, gaussian(3, 40, seed=1), 40, which, tolerance=1e-3, generator=generator(0)
    )
    assert pair.products == len(calls) < 40
    assert pair.converged.all()
    wanted = -1.0 if which == "smallest" else 50.0
    torch.testing.assert_close(
        pair.value, torch.full((3,), wanted, dtype=torch.float64), rtol=1e-5, atol=0
    )
    short = top_eigenpair(
        operator, gaussian(3, 40, seed=1), pair.products - 1, which, 1e-3, generator(0)
    )
    assert not short.converged.all()


def test_a_stopped_decomposition_still_satisfies_its_relation():
    matrix, _ = symmetric([[9.0, 1, 0.5, 0.1, 0], [9, 1, 0, 0, 0]])
    krylov = lanczos(dense(matrix), gaussian(2, 5, seed=1), 5, tolerance=0.05)
    assert krylov.size.max() < 5
    last = torch.nn.functional.one_hot(krylov.size - 1, 5).to(matrix)
    right = krylov.basis.mT @ tridiagonal(krylov) + krylov.residual.unsqueeze(2) * last.unsqueeze(1)
    torch.testing.assert_close(matrix @ krylov.basis.mT, right, atol=1e-12, rtol=0)


def test_the_gradient_alone_never_sees_the_null_space():
    a = gaussian(3, 6)
    operator = dense(a.unsqueeze(2) * a.unsqueeze(1))
    assert ritz(lanczos(operator, a, 4)).values[:, 0].min() > 0
    pair = top_eigenpair(operator, a, 4, "smallest")
    assert pair.value.abs().max() < 1e-12


def test_products_are_counted():
    for steps in (1, 4):
        operator, calls = counted(dense(symmetric(gaussian(2, 9))[0]))
        assert top_eigenpair(operator, gaussian(2, 9), steps).products == len(calls) == steps
        assert power_iteration(operator, gaussian(2, 9), steps).products == steps
        assert len(calls) == 2 * steps


# --- densities


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 3), SEEDS)
def test_gauss_quadrature_is_exact_to_degree_2k_minus_1(steps, probes, seed):
    matrix, _ = symmetric(gaussian(2, 8, seed=seed), seed)
    matrix = matrix / matrix.abs().sum(2).amax()
    like = torch.zeros(2, 8, dtype=torch.float64)
    nodes, weights = spectral_density(dense(matrix), like, probes, steps, generator(seed))
    draw = generator(seed)
    starts = [unit(random_like(like, draw)) for _ in range(probes)]
    power = torch.eye(8, dtype=torch.float64).expand(2, 8, 8)
    for degree in range(2 * steps):
        forms = [torch.einsum("bi,bij,bj->b", q, power, q) for q in starts]
        quadrature = (weights * nodes**degree).sum(1)
        torch.testing.assert_close(quadrature, sum(forms) / probes, atol=1e-12, rtol=1e-9)
        power = power @ matrix


def test_the_next_degree_is_not_exact():
    matrix, _ = symmetric([[2.0, 1, -1, -2]])
    like = torch.zeros(1, 4, dtype=torch.float64)
    nodes, weights = spectral_density(dense(matrix), like, 1, 2, generator(0))
    q = unit(random_like(like, generator(0)))[0]
    exactly = q @ torch.linalg.matrix_power(matrix[0], 4) @ q
    assert exactly - (weights * nodes**4).sum() > 1e-3


@pytest.mark.parametrize("scale", SCALES)
def test_densities_of_hard_operators(scale):
    matrix, spectra = hard_batch(scale, torch.float64)
    like = torch.zeros(9, 6, dtype=torch.float64)
    nodes, weights = spectral_density(dense(matrix), like, 3, 8, generator(0))
    assert nodes.shape == weights.shape == (9, 24)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(9, dtype=torch.float64))
    # every node that weighs something is an eigenvalue
    distance = (nodes.unsqueeze(2) - spectra.unsqueeze(1)).abs().amin(2)
    assert (distance * (weights > 1e-12)).max() <= 1e-12 * scale


def test_density_is_unbiased():
    matrix, _ = symmetric(torch.tensor([[3.0, 1, 0.5, -2]]))
    copies = matrix.expand(4000, 4, 4)
    like = torch.zeros(4000, 4, dtype=torch.float64)
    nodes, weights = spectral_density(dense(copies), like, 1, 2, generator(0))
    for degree in range(4):
        moments = (weights * nodes**degree).sum(1)
        error = moments.mean() - torch.linalg.matrix_power(matrix[0], degree).trace() / 4
        assert abs(error) <= 5 * moments.std() / 4000**0.5 + 1e-12
    second = (weights * nodes**2).sum(1)
    assert second.std() > 0.1


# --- traces


def test_hutchinson_over_all_signs_is_exact_with_the_stated_variance():
    matrix = symmetric(gaussian(1, 5))[0][0]
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=5)), dtype=torch.float64)
    forms = ((signs @ matrix) * signs).sum(1)
    torch.testing.assert_close(forms.mean(), matrix.trace())
    off = matrix - matrix.diag().diag()
    torch.testing.assert_close(forms.var(unbiased=False), 2 * off.square().sum())
    # and the estimator draws from these forms alone
    drawn = trace(dense(matrix.expand(200, 5, 5)), torch.zeros(200, 5).double(), 1, generator(0))
    distance = (drawn.value.unsqueeze(1) - forms).abs().amin(1)
    assert distance.max() < 1e-12


@pytest.mark.parametrize(("method", "probes"), [("hutchinson", 3), ("hutch++", 9)])
def test_traces_are_unbiased_with_honest_standard_errors(method, probes):
    matrix, _ = symmetric(torch.logspace(0, -2, 12).unsqueeze(0) * torch.tensor([[1.0, -1] * 6]))
    copies = matrix.expand(4000, 12, 12)
    like = torch.zeros(4000, 12, dtype=torch.float64)
    value, error = trace(dense(copies), like, probes, generator(0), method)
    spread = value.std()
    assert abs(value.mean() - matrix[0].trace()) <= 5 * spread / 4000**0.5
    # the squared standard error estimates the variance without bias: a t-test of 4000 draws
    squares = error.square()
    assert abs(squares.mean() - spread**2) <= 5 * (squares.std() + 2**0.5 * spread**2) / 4000**0.5
    if method == "hutchinson":
        off = matrix[0] - matrix[0].diag().diag()
        wanted = 2 * off.square().sum() / probes
        assert spread.square().item() == pytest.approx(wanted.item(), rel=0.15)


def test_hutch_plus_plus_beats_hutchinson_where_the_spectrum_decays():
    matrix, _ = symmetric(torch.logspace(0, -8, 30).unsqueeze(0))
    copies, like = matrix.expand(300, 30, 30), torch.zeros(300, 30, dtype=torch.float64)
    spreads = [
        trace(dense(copies), like, 15, generator(0), method).value.std()
        for method in ("hutch++", "hutchinson")
    ]
    assert spreads[0] < spreads[1] / 5


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hutch_plus_plus_is_exact_at_the_rank(scale, dtype):
    matrix, spectra = hard_batch(scale, dtype)
    like = torch.zeros(9, 6, dtype=dtype)
    value, error = trace(dense(matrix), like, 3 * 6, generator(0), "hutch++")
    rounding = 100 * torch.finfo(dtype).eps * spectra.abs().sum(1)
    assert ((value.double() - spectra.sum(1)).abs() <= rounding).all()
    assert (error.double() <= rounding).all()
    # rank two at most: a sketch of two
    value, _ = trace(dense(matrix[:4]), like[:4], 6, generator(0), "hutch++")
    assert ((value.double() - spectra[:4].sum(1)).abs() <= rounding[:4]).all()


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
@pytest.mark.parametrize("probes", [3, 4, 5, 9, 20])
def test_a_trace_costs_as_many_products_as_it_says(method, probes):
    operator, calls = counted(dense(symmetric(gaussian(2, 7))[0]))
    trace(operator, torch.zeros(2, 7, dtype=torch.float64), probes, generator(0), method)
    assert len(calls) <= probes
    assert len(calls) == probes or (method == "hutch++" and probes // 3 > 7)


def test_one_probe_cannot_tell_its_error():
    estimate = trace(lambda v: v, torch.ones(2, 3), 1)
    assert estimate.value.tolist() == [3, 3]
    assert estimate.standard_error.tolist() == [math.inf, math.inf]
    assert trace(lambda v: v, torch.ones(1, 3), 3, None, "hutch++").standard_error.isinf().all()


def test_trace_of_input_hessians():
    model, x, y = problem("softplus", "cnn")
    operator = hessian_operator(lambda x: margin_cross_entropy(model(x), y), x)
    exactly = hessians(model, x, y).diagonal(dim1=1, dim2=2).sum(1)
    value, error = trace(operator, x, 60, generator(0))
    assert ((value - exactly).abs() <= 5 * error).all()
    value, _ = trace(operator, x, 48, generator(0), "hutch++")
    torch.testing.assert_close(value, exactly)


# --- randomness, dtype, device, shape


def test_randomness_comes_from_the_generator_alone():
    matrix, _ = symmetric(gaussian(2, 5))
    like = torch.zeros(2, 5, dtype=torch.float64)
    state = torch.get_rng_state()
    calls = [
        lambda: trace(dense(matrix), like, 4, generator(3)).value,
        lambda: trace(dense(matrix), like, 4, generator(3), "hutch++").value,
        lambda: spectral_density(dense(matrix), like, 2, 2, generator(3)).nodes,
        lambda: top_eigenpair(dense(matrix), like + 1, 2, "smallest", generator=generator(3)).value,
        lambda: top_eigenpair(dense(matrix), like, 2).value,
        lambda: power_iteration(dense(matrix), like, 2).value,
    ]
    for call in calls:
        assert call().equal(call())
    assert torch.equal(state, torch.get_rng_state())
    assert not calls[0]().equal(trace(dense(matrix), like, 4, generator(4)).value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_dtype_device_and_shape_follow_the_start(dtype, device):
    scale = gaussian(2, 1, 3, 4, dtype=dtype).to(device)

    def operator(v):
        return scale * v

    start = torch.zeros_like(scale)
    start[0] = 1
    draw = generator(0)
    krylov = lanczos(operator, start, 3)
    pair = top_eigenpair(operator, start, 3, "smallest", generator=draw)
    power = power_iteration(operator, start, 3)
    density = spectral_density(operator, start, 2, 3, draw)
    estimates = [trace(operator, start, 3, draw, m) for m in ("hutchinson", "hutch++")]
    assert krylov.basis.shape == (2, 3, 1, 3, 4)
    assert krylov.residual.shape == pair.vector.shape == power.vector.shape == start.shape
    assert pair.value.shape == pair.residual.shape == pair.converged.shape == (2,)
    floats = [*krylov[:4], *pair[:3], *power[:3], *density, *itertools.chain(*estimates)]
    assert {(t.dtype, t.device.type) for t in floats} == {(dtype, device)}
    assert krylov.size.dtype == torch.int64
    assert pair.converged.dtype == power.converged.dtype == torch.bool
    assert isinstance(pair.products, int)


def test_results_carry_no_graph():
    scale = gaussian(2, 3).requires_grad_()
    start = gaussian(2, 3, seed=1).requires_grad_()

    def operator(v):
        return scale * v

    assert not top_eigenpair(operator, start, 3, "largest").vector.requires_grad
    assert not power_iteration(operator, start, 3).value.requires_grad
    assert not trace(operator, start, 3, method="hutch++").value.requires_grad
    assert not spectral_density(operator, start, 1, 2).weights.requires_grad


# --- bad input

START = torch.ones(2, 3)
METHODS = [
    lambda operator, start: power_iteration(operator, start, 2),
    lambda operator, start: lanczos(operator, start, 2),
    lambda operator, start: top_eigenpair(operator, start, 2),
    lambda operator, start: top_eigenpair(operator, start, 2, "smallest"),
    lambda operator, start: spectral_density(operator, start, 1, 2),
    lambda operator, start: trace(operator, start, 2),
    lambda operator, start: trace(operator, start, 3, None, "hutch++"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (
            START.long(),
            TypeError,
            r"requires a float32 or float64 (start|batch). Found torch.int64.",
        ),
        (START[0], ValueError, r"requires a non-empty (start|batch) .* Found \(3,\)."),
        (START[:, :0], ValueError, r"requires a non-empty (start|batch) .* Found \(2, 0\)."),
        (START / 0, ValueError, r"requires a finite (start|batch). Found NaN or infinity."),
    ],
)
def test_bad_starts(method, start, error, message):
    with pytest.raises(error, match=message):
        method(lambda v: v, start)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (lambda v: v * float("nan"), "requires a finite product. Found NaN or infinity."),
        (lambda v: v * float("inf"), "requires a finite product. Found NaN or infinity."),
        (
            lambda v: v[:1],
            r"requires a product of shape \(2, 3\), torch.float32, cpu. "
            r"Found \(1, 3\), torch.float32, cpu.",
        ),
        (lambda v: v.double(), r"requires a product of .* Found \(2, 3\), torch.float64, cpu."),
    ],
)
def test_bad_products(method, operator, message):
    with pytest.raises(ValueError, match=message):
        method(operator, START)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_iteration(lambda v: v, START, 0), "requires at least 1 steps. Found 0."),
        (lambda: lanczos(lambda v: v, START, 0), "requires at least 1 steps. Found 0."),
        (lambda: top_eigenpair(lambda v: v, START, -1), "requires at least 1 steps. Found -1."),
        (
            lambda: top_eigenpair(lambda v: v, START, which="top"),
            "requires 'magnitude', 'largest' or 'smallest'. Found 'top'.",
        ),
        (
            lambda: spectral_density(lambda v: v, START, 0, 2),
            "requires at least 1 probes. Found 0.",
        ),
        (
            lambda: spectral_density(lambda v: v, START, 1, 0),
            "requires at least 1 steps. Found 0.",
        ),
        (lambda: trace(lambda v: v, START, 0), "requires at least 1 probes. Found 0."),
        (
            lambda: trace(lambda v: v, START, 2, None, "hutch++"),
            r"requires at least 3 probes. Found 2.",
        ),
        (
            lambda: trace(lambda v: v, START, 2, None, "xtrace"),
            r"requires 'hutchinson' or 'hutch\+\+'. Found 'xtrace'.",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(
    not Path(os.environ.get("CURVLAB_DATA", "data"), "MNIST").is_dir(),
    reason="needs MNIST under CURVLAB_DATA",
)
@pytest.mark.parametrize(
    ("method", "steps", "share"), [("plain", 6, 1.0), ("input-gradient", 12, 0.9)]
)
def test_as_many_products_settle_a_real_network_as_top_eigenpair_says(method, steps, share):
    images = data.load("mnist", "test")
    x, y = images.x[:16].double(), images.y[:16]
    model = zoo.load(f"mnist/softplus/{method}").double()

    def loss(x):
        return torch.nn.functional.cross_entropy(model(x), y, reduction="none")

    operator = hessian_operator(loss, x)
    start = input_gradient(loss, x)
    truth = top_eigenpair(operator, start, 40)
    assert truth.converged.all()
    pair = top_eigenpair(operator, start, steps)
    assert pair.converged.double().mean() >= share
    torch.testing.assert_close(pair.value, truth.value, rtol=2e-2, atol=0)
    if method == "input-gradient":  # and fewer do not
        assert top_eigenpair(operator, start, 6).converged.double().mean() < 0.5
