"""Smoothing constants against extremal functions, confidence bounds against exact coverage."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from curvlab.bounds import (
    ABSTAIN,
    clopper_pearson,
    cohen_radius,
    smoothed_certificate,
    smoothing_constants,
)


def steps(edges, heights, x, sigma):
    """Slope and curvature at x of a step function convolved with Gaussian noise, exactly."""
    edges = (np.asarray(edges)[:, None] - x) / sigma
    density = norm.pdf(edges)
    jumps = np.diff(np.concatenate([[0.0], heights, [0.0]]))[:, None]
    return (jumps * density).sum(0) / sigma, (jumps * edges * density).sum(0) / sigma**2


@given(
    st.floats(0.2, 3),
    st.lists(st.tuples(st.floats(-6, 6), st.floats(0, 1)), min_size=1, max_size=9),
)
@settings(deadline=None, max_examples=200)
def test_no_step_function_exceeds_the_constants(sigma, jumps):
    edges = sorted(edge for edge, _ in jumps)
    heights = [height for _, height in jumps][1:]
    slope, bend = steps(edges, heights, np.linspace(-8, 8, 801), sigma)
    slope_bound, bend_bound = smoothing_constants(sigma)
    assert np.abs(slope).max() <= slope_bound * (1 + 1e-12)
    assert np.abs(bend).max() <= bend_bound * (1 + 1e-12)


@pytest.mark.parametrize("sigma", [0.25, 1.0, 2.0])
def test_constants_are_attained(sigma):
    slope_bound, bend_bound = smoothing_constants(sigma)
    step, _ = steps([0.0, 1e9], [1.0], np.zeros(1), sigma)
    _, band = steps([-sigma, sigma], [1.0], np.zeros(1), sigma)
    outside = steps([-1e9, -sigma, sigma, 1e9], [1.0, 0.0, 1.0], np.zeros(1), sigma)[1]
    assert step == pytest.approx(slope_bound)
    assert band == pytest.approx(-bend_bound)
    assert outside == pytest.approx(bend_bound)
    assert smoothing_constants(sigma, 2.0) == pytest.approx((2 * slope_bound, 2 * bend_bound))


@pytest.mark.parametrize("trials", [1, 7, 40])
@pytest.mark.parametrize("failure", [0.2, 0.01])
def test_clopper_pearson_covers(trials, failure):
    """Exact: the chance of a bound above the truth, summed over all outcomes."""
    counts = np.arange(trials + 1)
    bounds = np.array([clopper_pearson(int(k), trials, failure) for k in counts])
    worst = 0.0
    for p in np.concatenate([np.linspace(0.001, 0.999, 400), bounds[1:] * (1 - 1e-6)]):
        risk = binom.pmf(counts, trials, p)[bounds > p].sum()
        worst = max(worst, risk)
        assert risk <= failure * (1 + 1e-9)
    assert worst > 0.99 * failure
    for k in range(trials + 1):
        theirs = binomtest(k, trials, alternative="greater").proportion_ci(1 - failure, "exact")
        assert bounds[k] == pytest.approx(theirs.low, rel=1e-6)
        assert bounds[k] <= theirs.low


def test_cohen_radius():
    p = clopper_pearson(90, 100, 0.01)
    assert cohen_radius(90, 100, 2.0, 0.01) == pytest.approx(2 * norm.ppf(p))
    assert cohen_radius(55, 100, 2.0, 0.01) == 0
    assert math.isfinite(cohen_radius(100_000, 100_000, 1.0))


def half_space(x):
    return torch.stack([x[:, 0], -x[:, 0]], 1)


def test_smoothed_radii_of_a_half_space_are_sound_and_sharp():
    """The true radius is the distance to the plane; too large a radius is as rare as stated."""
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(300, 2)
    x[:, 0] = torch.linspace(-1, 1, 300)
    found = smoothed_certificate(half_space, x, 0.5, samples=1000, failure=0.05, generator=g)
    sure = found.label != ABSTAIN
    assert (found.label[sure] == (x[sure, 0] < 0).long()).all()
    assert (found.radius[~sure] == 0).all()
    exceeded = int((found.radius > x[:, 0].abs()).sum())
    assert exceeded <= binom.ppf(1 - 1e-6, 300, 0.05)
    wide = x[:, 0].abs() > 0.3
    assert sure[wide].all()
    assert (found.radius[wide] > 0.7 * x[wide, 0].abs()).all()


def test_smoothed_certificate_abstains_at_a_tie_and_repeats():
    x = torch.tensor([[0.0, 1.0], [0.8, 0.0]])
    runs = [
        smoothed_certificate(
            half_space, x, 1.0, samples=500, batch_size=size,
            generator=torch.Generator().manual_seed(1),
        )
        for size in (500, 500)
    ]  # fmt: skip
    assert runs[0].label.tolist() == [ABSTAIN, 0]
    assert torch.equal(runs[0].radius, runs[1].radius)
    assert runs[0].radius.dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smoothing_constants(0.0), "finite sigma > 0. Found 0.0"),
        (lambda: smoothing_constants(1.0, -1.0), "spread >= 0. Found -1.0"),
        (lambda: clopper_pearson(5, 4), "successes <= trials. Found 5 of 4"),
        (lambda: clopper_pearson(0, 0), "Found 0 of 0"),
        (lambda: clopper_pearson(1, 2, 0.0), r"failure probability in \(0, 1\). Found 0.0"),
        (lambda: cohen_radius(1, 2, -1.0), "finite sigma > 0. Found -1.0"),
        (
            lambda: smoothed_certificate(half_space, torch.zeros(1, 2), 1.0, samples=0),
            "at least one samples. Found 0",
        ),
        (lambda: smoothed_certificate(half_space, torch.zeros(0, 2), 1.0), "non-empty input"),
        (lambda: smoothed_certificate(half_space, torch.zeros(1, 2), math.inf), "finite sigma"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
