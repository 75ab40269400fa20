"""Radii and robust-loss bounds against extremal examples, root finders and strong attacks."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn
from truth import hessians, jacobians, problem, symmetric

from curvlab.attacks import fgsm, pgd
from curvlab.bounds import (
    Constants,
    attack_radius,
    certified_loss,
    combined_radius,
    cure_interval,
    curvature_radius,
    first_order,
    loss_curvature,
    network_constants,
    quadratic_maximum,
    sandwich,
)
from curvlab.calculus import input_gradient
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP
from curvlab.trust_region import trust_region

positive = st.floats(1e-3, 1e3)


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- radii -----------------------------------------------------------------------------------------


@given(positive, st.floats(0, 1e3), positive)
@settings(deadline=None, max_examples=200)
def test_radii_are_roots_of_the_extremal_parabolas(m, s, K):
    down = max(np.roots([-K / 2, -s, m]).real)
    assert curvature_radius(t(m), t(s), t(K)).item() == pytest.approx(down, rel=1e-6)
    reached = attack_radius(t(m), t(s), t(K)).item()
    if s**2 >= 2 * K * m:
        assert m - s * reached + K * reached**2 / 2 == pytest.approx(
            0, abs=1e-9 * (m + s * reached)
        )
        assert reached >= m / s * (1 - 1e-12)
        assert reached <= s / K * (1 + 1e-12)  # the smaller root
    else:
        assert reached == math.inf


@given(positive, positive, positive, positive)
@settings(deadline=None, max_examples=200)
def test_combined_radius_solves_its_own_worst_case(m, s, K, extra):
    """The integral of min(L, s + K t) from 0 to the radius is the margin."""
    L = s + extra
    radius = combined_radius(t(m), t(s), t(K), t(L)).item()
    turn = min(radius, (L - s) / K)
    spent = s * turn + K * turn**2 / 2 + L * (radius - turn)
    assert spent == pytest.approx(m, rel=1e-9)
    bend = curvature_radius(t(m), t(s), t(K)).item()
    assert radius >= max(bend, m / L) * (1 - 1e-12)
    if 2 * L * (L - s) / m >= K:
        assert bend >= m / L * (1 - 1e-9)
    else:
        assert bend <= m / L * (1 + 1e-9)


def test_radii_at_the_edges():
    inf, one, none = t(math.inf), t(1.0), t(0.0)
    assert curvature_radius(one, none, none) == math.inf  # a flat margin never goes
    assert curvature_radius(one, one, t(1e-300)) == 1
    assert curvature_radius(one, one, inf) == 0
    assert curvature_radius(-one, one, one) == 0
    assert curvature_radius(none, none, none) == 0
    assert combined_radius(one, one, inf, 2 * one) == 0.5
    assert combined_radius(one, one, none, 2 * one) == 1
    assert combined_radius(one, one, one, inf) == curvature_radius(one, one, one)
    assert combined_radius(one, none, none, none) == math.inf
    assert attack_radius(one, none, none) == math.inf
    assert attack_radius(one, one, inf) == math.inf
    assert attack_radius(-one, one, one) == 0
    tiny = curvature_radius(t(1e-12), t(1.0), t(1e-8))  # the textbook form loses all digits here
    assert tiny.item() == pytest.approx(1e-12, rel=1e-12)


def smallest_reach(g, H, c):
    """The smallest radius at which the quadratic model can rise by c: ever finer grids."""
    values, vectors = np.linalg.eigh(H)
    values, g = torch.tensor(values).expand(200, -1), torch.tensor(vectors.T @ g).expand(200, -1)
    low, high = 0.0, 1e4
    for _ in range(6):
        grid = torch.linspace(low, high, 201, dtype=torch.float64)[1:]
        first = int((trust_region(values, g, grid).value >= c).int().argmax())
        low, high = float(grid[first - 1]) if first else low, float(grid[first])
    return high


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_cure_interval_holds_the_exact_distance(seed):
    draw = np.random.default_rng(seed)
    n = int(draw.integers(1, 6))
    H = draw.normal(size=(n, n))
    H = H + H.T
    values, vectors = np.linalg.eigh(H)
    H = H + max(0.0, 0.1 - values[-1]) * np.eye(n)
    nu, u = np.linalg.eigvalsh(H)[-1], vectors[:, -1]
    g, c = draw.normal(size=n), float(draw.exponential())
    exact = smallest_reach(g, H, c)
    along = abs(g @ u)
    found = cure_interval(*(t(v) for v in (np.linalg.norm(g), along, nu, c)))
    lower, upper, weak_lower, weak_upper = (part.item() for part in found)
    assert weak_lower <= lower * (1 + 1e-9)
    assert lower <= exact * (1 + 1e-6)
    assert exact <= upper * (1 + 1e-6)
    assert upper <= weak_upper * (1 + 1e-9)


def test_the_weak_constant_of_cure_is_a_half_and_no_less():
    """With g along u the distance is known, and for small gaps 0.49 would already overshoot."""
    c = t(1e-3)
    one = t(1.0)
    exact, weak = cure_interval(one, one, one, c).lower, cure_interval(one, one, one, c).weak_lower
    assert weak < exact
    assert c - 0.49 * c**2 > exact
    assert cure_interval(one, 0 * one, one, c).weak_upper == math.inf
    assert cure_interval(0 * one, 0 * one, one, one).lower.item() == pytest.approx(math.sqrt(2))
    assert cure_interval(one, one, one, 0 * one)[:2] == (0, 0)


# -- robust loss -----------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.floats(0.01, 3), st.floats(0, 5), st.sampled_from(["l2", "linf"]))
@settings(deadline=None, max_examples=100)
def test_sandwich_is_attained_by_round_quadratics(seed, eps, K, norm):
    """`H = K I` attains the upper bound; `H = -K I` the lower, in l-infinity for equal slopes."""
    g = torch.randn(1, 5, generator=seeded(seed), dtype=torch.float64)
    if norm == "linf":
        g = g.sign() * g.abs().amax()
    lower, upper = sandwich(g, K, eps, norm)
    if norm == "l2":
        top, side = eps, float(g.norm())
        bottom, convex = min(eps, side / K if K else eps), eps * side + K * eps**2 / 2
        concave = side * bottom - K * bottom**2 / 2
    else:
        top = g.abs() * eps + K * eps**2 / 2
        convex, step = float(top.sum()), (g.abs() / K if K else g.abs() * math.inf).clamp(max=eps)
        concave = float((g.abs() * step - K * step**2 / 2).sum())
    assert upper.item() == pytest.approx(convex, rel=1e-9)
    assert lower.item() == pytest.approx(concave, rel=1e-9)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("activation", ["softplus", "tanh", "elu"])
def test_sandwich_on_networks(activation, norm):
    """With a curvature constant that holds everywhere, against the strongest attack at hand."""
    points = 0
    for seed in range(3):
        model, x, y = problem(activation, batch=24, seed=seed)
        K = loss_curvature(network_constants(model, x.shape[1:]))[y]
        g = input_gradient(lambda x, y=y, model=model: margin_cross_entropy(model(x), y), x)
        start = margin_cross_entropy(model(x), y).detach()
        for eps in (0.05, 0.5):
            lower, upper = sandwich(g, K, eps, norm)
            found = pgd(
                *(model, x, y, eps, norm),
                steps=40, keep="loss", box=None, generator=seeded(),
            )  # fmt: skip
            rise = found.loss - start
            assert (rise <= upper + 1e-12).all()
            assert (rise >= lower * (1 - 1e-6) - 1e-6).all()
            points += len(x)
        assert (lower < upper).all()
    assert points == 144


def test_a_rectifiers_hessian_is_no_curvature_constant():
    """Zero almost everywhere at the example, and the loss rises beyond the bound."""
    eps, g, K = 1.0, torch.zeros(1, 1), 0.0025  # K: the largest a.e. Hessian, 0.1^2 / 4
    rise = F.softplus(torch.tensor(0.1 * 0.99)) - math.log(2)
    assert rise > 10 * sandwich(g, K, eps).upper


@given(
    st.sampled_from(["relu", "softplus", "tanh"]),
    st.sampled_from(["l2", "linf"]),
    st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=60)
def test_first_order_bounds(activation, norm, seed):
    model, x, y = problem(activation, batch=6, seed=seed)
    bounds = first_order(model(x), jacobians(model, x), y, 0.3, norm)
    gradient = input_gradient(lambda x: F.cross_entropy(model(x), y, reduction="none"), x)
    expected = 0.3 * gradient.norm(2 if norm == "l2" else 1, dim=1)
    assert torch.allclose(bounds.linearized, expected)
    assert (bounds.linearized <= bounds.margins * (1 + 1e-12)).all()
    assert (bounds.margins <= bounds.centred * (1 + 1e-12)).all()
    assert (bounds.margins <= bounds.surrogate * (1 + 1e-12)).all()
    if norm == "l2":
        assert (bounds.centred <= bounds.surrogate * (1 + 1e-12)).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_first_order_constants_are_attained(norm):
    """Two classes with opposite gradients: every bound is the linearized rise itself."""
    w = torch.randn(1, 6, generator=seeded(), dtype=torch.float64)
    jacobian = torch.stack([w, -w], 1)
    bounds = first_order(t(1.0, 0.0)[None], jacobian, torch.tensor([0]), 0.7, norm)
    for bound in bounds:
        assert torch.allclose(bound, bounds.linearized)


def test_first_order_keeps_its_digits_in_float32():
    logits, jacobian, y = t(40.0, 0.0, -1.0)[None], torch.eye(3)[None], torch.tensor([0])
    exact = first_order(logits, jacobian.double(), y, 1.0)
    single = first_order(logits.float(), jacobian, y, 1.0)
    for low, high in zip(single, exact, strict=True):
        assert low.item() == pytest.approx(high.item(), rel=1e-5)
        assert low > 0


@pytest.mark.parametrize("seed", range(20))
def test_quadratic_maximum(seed):
    """Between its bounds, and equal to what SLSQP finds from several starts."""
    draw = seeded(seed)
    spectrum = torch.randn(1, 4, generator=draw, dtype=torch.float64)
    H, _ = symmetric(spectrum if seed % 2 else -spectrum.abs(), seed)
    g = torch.randn(1, 4, generator=draw, dtype=torch.float64)
    found = quadratic_maximum(g, H, 0.8)
    a, A = g[0].numpy(), H[0].numpy()
    runs = [
        minimize(
            lambda d: -(a @ d + d @ A @ d / 2),
            start,
            jac=lambda d: -(a + A @ d),
            constraints={"type": "ineq", "fun": lambda d: 0.64 - d @ d, "jac": lambda d: -2 * d},
            tol=1e-12,
        )
        for start in np.random.default_rng(seed).normal(size=(8, 4)) * 0.4
    ]
    best = max(-run.fun for run in runs if 0.64 - run.x @ run.x > -1e-9)
    assert found.maximum.item() == pytest.approx(best, abs=1e-6)
    assert found.lower <= found.maximum + 1e-12
    assert found.maximum <= found.upper + 1e-12


def test_certified_loss():
    """No attack exceeds it; two affine classes attain it."""
    for seed, activation in enumerate(("softplus", "tanh", "relu")):
        model, x, y = problem(activation, batch=12, seed=seed)
        constants, rows = network_constants(model, x.shape[1:]), jacobians(model, x)
        slopes = (rows[torch.arange(12), y].unsqueeze(1) - rows).norm(dim=2)
        for eps in (0.05, 0.5):
            found = pgd(
                *(model, x, y, eps, "l2"), steps=50, keep="loss", box=None, generator=seeded()
            )
            bound = certified_loss(model(x), slopes, y, eps, constants)
            assert (found.loss <= bound).all()
    layer = MLP((4, 2)).double()
    x, y = torch.randn(5, 4, generator=seeded(), dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0])
    constants = network_constants(layer, x.shape[1:])
    slopes = constants.lipschitz[y]
    found = fgsm(layer, x, y, 0.3, "l2", box=None)
    assert torch.allclose(found.loss, certified_loss(layer(x), slopes, y, 0.3, constants))


def test_certified_loss_at_a_peak_of_the_margin():
    """A margin 1 - K t^2 / 2 has no slope at the example: all of its fall is curvature."""
    between = 1 - torch.eye(2).double()
    bound = certified_loss(
        t(1.0, 0.0)[None], t(0.0, 0.0)[None], torch.tensor([0]), 0.5,
        Constants(100 * between, 3 * between, 1.0),
    )  # fmt: skip
    assert bound.item() == pytest.approx(math.log1p(math.exp(-(1 - 3 * 0.5**2 / 2))))


smooth = st.sampled_from(["softplus", "tanh", "sigmoid", "elu", "gelu", "silu"])


@given(smooth, st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_loss_curvature(activation, seed):
    model, x, y = problem(activation, batch=6, seed=seed)
    bound = loss_curvature(network_constants(model, x.shape[1:]))[y]
    assert (torch.linalg.matrix_norm(hessians(model, x, y), 2) <= bound).all()


def test_loss_curvature_is_attained_by_two_affine_classes_at_a_tie():
    model = nn.Linear(3, 2).double()
    w, gap = (model.weight[0] - model.weight[1]).detach(), model.bias[1] - model.bias[0]
    x = (gap.detach() / w.square().sum() * w).unsqueeze(0)
    H = hessians(model, x, torch.tensor([0]))
    bound = loss_curvature(network_constants(model, torch.Size((3,))))
    assert torch.allclose(torch.linalg.matrix_norm(H, 2), bound[:1], rtol=1e-6)


def test_loss_curvature_needs_both_of_its_terms():
    """A margin that is concave where the label is unlikely: the bend adds to the outer product."""
    beta, odds = 40.0, math.log(0.2 / 0.8)

    def margin(x):
        return odds + math.log(2) / beta - F.softplus(beta * x) / beta - 5 * x

    def model(x):
        return torch.cat([margin(x), 0 * x], 1)

    between = 1 - torch.eye(2).double()
    bends = torch.tensor([[0, beta / 4], [0, 0]], dtype=torch.float64)
    bound = loss_curvature(Constants(6 * between, bends, 6 / math.sqrt(2)))
    found = hessians(model, t([0.0]), torch.tensor([0])).item()
    assert found == pytest.approx(0.8 * beta / 4 + 0.16 * 5.5**2)
    assert found <= bound[0] <= 1.6 * found
    line = torch.linspace(-1, 1, 401).double().unsqueeze(1)
    for label in (0, 1):
        seen = hessians(model, line, torch.full((401,), label)).abs().max()
        assert seen <= bound[label]


Z, LABELS = torch.zeros(2, 3), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curvature_radius(t(1), t(-1), t(1)), "slope >= 0. Found -1"),
        (lambda: curvature_radius(t(1), t(1), t(math.nan)), "curvature >= 0. Found nan"),
        (lambda: curvature_radius(t(math.nan), t(1), t(1)), "margins that are numbers"),
        (lambda: attack_radius(t(1), t(1), t(-2)), "curvature >= 0. Found -2"),
        (lambda: combined_radius(t(1), t(1), t(1), t(-1)), "lipschitz >= 0. Found -1"),
        (lambda: cure_interval(t(1), t(1), t(1), t(-1)), "gap >= 0. Found -1"),
        (lambda: cure_interval(t(1), t(-1), t(1), t(1)), "along >= 0. Found -1"),
        (lambda: sandwich(Z, -1.0, 0.1), "curvature >= 0. Found -1"),
        (lambda: sandwich(Z, 1.0, -0.1), "finite eps >= 0. Found -0.1"),
        (lambda: sandwich(Z, 1.0, 0.1, "l1"), "'l2' or 'linf'. Found 'l1'"),
        (lambda: first_order(Z, torch.zeros(2, 2, 5), LABELS, 0.1), r"Found \(2, 2, 5\)"),
        (lambda: first_order(Z, torch.zeros(2, 3, 5), LABELS + 2, 0.1), "labels from 0 to 2"),
        (lambda: first_order(Z, torch.zeros(2, 3, 5), LABELS, math.inf), "finite eps"),
        (lambda: quadratic_maximum(Z, torch.zeros(2, 2, 2), 0.1), r"Hessians \(2, 3, 3\)"),
        (
            lambda: certified_loss(Z, Z, LABELS, -1, network_constants(MLP((4, 3)), (4,))),
            "finite eps >= 0",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
