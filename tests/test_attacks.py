"""Attacks against closed forms, SLSQP, exhaustive facts, and the pyautoattack library."""

import logging
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyautoattack.autopgd_base import APGDAttack
from scipy.optimize import minimize
from torch import nn

from curvlab import data
from curvlab.attacks import (
    Adversarial,
    Ball,
    apgd,
    autoattack,
    checkpoints,
    dlr_loss,
    evaluate,
    fgsm,
    fools,
    masking_report,
    minimal_norm,
    pgd,
    pgd_last,
    steepest,
)
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP

NORMS = ("l2", "linf")
LIBRARY = {"l2": "L2", "linf": "Linf"}
BUDGET = {"l2": 0.6, "linf": 0.1}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lengths(delta, norm):
    return torch.linalg.vector_norm(delta.flatten(1), 2 if norm == "l2" else math.inf, dim=1)


@pytest.fixture(scope="module", params=["softplus", "relu"])
def trained(request):
    """A small network that reads the digits, and 120 test images."""
    x, y = data.load("digits", "train")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP((64, 32, 10), request.param)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(150):
        rows = torch.arange(step * 128, step * 128 + 128) % len(x)
        optimizer.zero_grad()
        margin_cross_entropy(model(x[rows]), y[rows]).mean().backward()
        optimizer.step()
    x, y = data.load("digits", "test")
    model.eval().requires_grad_(False)
    assert (model(x).argmax(1) == y).float().mean() > 0.9
    return model, x[:120], y[:120]


def affine(weight, bias=None):
    layer = nn.Linear(weight.shape[1], weight.shape[0]).double()
    layer.weight.data.copy_(weight)
    layer.bias.data.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return layer


@given(st.integers(0, 10**6), st.sampled_from(NORMS), st.floats(0, 2), st.booleans())
@settings(deadline=None, max_examples=60)
def test_projections_stay_in_ball_and_box(seed, norm, eps, boxed):
    g = seeded(seed)
    x = torch.rand(3, 7, dtype=torch.float64, generator=g)
    ball = Ball(x, eps, norm, (0.0, 1.0) if boxed else None)
    far = x + 3 * torch.randn(3, 7, dtype=torch.float64, generator=g)
    gradient = torch.randn(3, 7, dtype=torch.float64, generator=g)
    reached = [ball.project(far), ball.random(g), ball.linear_maximum(gradient)]
    reached.append(ball.step(reached[0], gradient, 0.3))
    for point in reached:
        assert (lengths(point - x, norm) <= eps + 1e-12).all()
        assert not boxed or (point.min() >= 0 and point.max() <= 1)
        assert torch.allclose(ball.project(point), point, atol=1e-12)


def test_random_starts_fill_the_ball():
    x = torch.full((4000, 3), 0.5, dtype=torch.float64)
    for norm, volume in (("l2", 0.5**3), ("linf", 0.5**3)):
        radius = lengths(Ball(x, 0.4, norm).random(seeded()) - x, norm)
        inner = (radius < 0.2).double().mean()  # half the radius holds an eighth of the volume
        assert abs(inner - volume) < 5 * math.sqrt(volume * (1 - volume) / 4000)


@pytest.mark.parametrize("seed", range(8))
def test_linear_maximum_is_the_maximum(seed):
    """In l2 and a box, against SLSQP from several starts."""
    g = seeded(seed)
    x = torch.rand(1, 5, dtype=torch.float64, generator=g)
    gradient = torch.randn(1, 5, dtype=torch.float64, generator=g)
    eps = 0.1 + 0.9 * torch.rand((), generator=g).item()
    found = float((gradient * (Ball(x, eps, "l2").linear_maximum(gradient) - x)).sum())
    w, center = gradient[0].numpy(), x[0].numpy()
    best = minimize(
        lambda d: -w @ d,
        0 * w,
        jac=lambda d: -w,
        bounds=[(-c, 1 - c) for c in center],
        constraints={"type": "ineq", "fun": lambda d: eps**2 - d @ d, "jac": lambda d: -2 * d},
        tol=1e-10,
    )
    assert found == pytest.approx(-best.fun, abs=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(5))
def test_fgsm_is_exact_for_two_affine_classes(norm, seed):
    g = seeded(seed)
    model = affine(torch.randn(2, 12, dtype=torch.float64, generator=g))
    x = torch.rand(20, 12, dtype=torch.float64, generator=g)
    y = torch.randint(2, (20,), generator=g)
    once = fgsm(model, x, y, 0.3, norm)
    many = pgd(model, x, y, 0.3, norm, steps=100, restarts=3, keep="loss", generator=g)
    assert (many.loss <= once.loss + 1e-9).all()
    assert torch.allclose(many.loss, once.loss, rtol=0.02, atol=1e-4)
    if norm == "linf":  # the closed form: every pixel moves as far as ball and box allow
        w = (model.weight[1] - model.weight[0]).detach()
        w = torch.where(y.unsqueeze(1) == 0, w, -w)
        low, high = (x - 0.3).clamp(min=0) - x, (x + 0.3).clamp(max=1) - x
        rise = torch.where(w > 0, w * high, w * low).sum(1)
        logits = model(x).detach()
        lead = (logits.gather(1, 1 - y[:, None]) - logits.gather(1, y[:, None])).squeeze(1)
        assert torch.allclose(once.loss, nn.functional.softplus(lead + rise), atol=1e-6)


def test_fgsm_is_not_exact_for_three_classes():
    """Logits (0, x, -10 x - 3): the signed step goes right, the worst point is on the left."""
    model = affine(torch.tensor([[0.0], [1.0], [-10.0]]), torch.tensor([0.0, 0.0, -3.0]))
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.tensor([0])
    once = fgsm(model, x, y, 1.0, "linf", box=None)
    many = pgd(model, x, y, 1.0, "linf", restarts=8, box=None, generator=seeded())
    assert once.loss.item() == pytest.approx(math.log(1 + math.e + math.exp(-13)))
    assert many.loss.item() == pytest.approx(math.log(1 + math.exp(-1) + math.exp(7)))


@pytest.mark.parametrize("attack", [fgsm, pgd, apgd])
@pytest.mark.parametrize("norm", NORMS)
def test_reports_are_true(attack, norm, trained):
    model, x, y = trained
    options = {} if attack is fgsm else {"steps": 10, "generator": seeded()}
    found = attack(model, x, y, BUDGET[norm], norm, **options)
    assert isinstance(found, Adversarial)
    assert torch.equal(found.fooled, fools(model(found.x), y))
    assert torch.allclose(found.loss, margin_cross_entropy(model(found.x), y), atol=1e-6)
    assert (lengths(found.x - x, norm) <= BUDGET[norm] * (1 + 1e-6)).all()
    assert found.x.min() >= 0
    assert found.x.max() <= 1
    clean = fools(model(x), y)
    if attack is not fgsm:
        assert (found.fooled | ~clean).all()  # what is wrong at the start stays found
        best = attack(model, x, y, BUDGET[norm], norm, keep="loss", **options | {
            "generator": seeded()})  # fmt: skip
        assert (best.loss >= found.loss - 1e-6).all()


@pytest.mark.parametrize("norm", NORMS)
def test_agrees_with_the_library(norm, trained):
    """Auto-PGD is as strong as the library's, in accuracy and in loss; PGD is close."""
    model, x, y = trained
    eps = BUDGET[norm]
    options = {"n_iter": 50, "norm": LIBRARY[norm], "eps": eps, "seed": 0, "device": "cpu"}
    library = APGDAttack(model, loss="ce", logger=logging.getLogger("library"), **options)
    with torch.random.fork_rng():
        theirs = fools(model(library.perturb(x, y)), y)
        high = margin_cross_entropy(model(library.perturb(x, y, best_loss=True)), y)
        library.loss = "dlr"
        theirs_dlr = fools(model(library.perturb(x, y)), y)
    ours = apgd(model, x, y, eps, norm, steps=50, generator=seeded())
    ours_dlr = apgd(model, x, y, eps, norm, steps=50, loss=dlr_loss, generator=seeded())
    ours_loss = apgd(model, x, y, eps, norm, steps=50, keep="loss", generator=seeded()).loss
    plain = pgd(model, x, y, eps, norm, steps=50, restarts=5, generator=seeded())
    assert 0.2 < theirs.float().mean() < 0.9  # or the comparison would say nothing
    assert ours.fooled.sum() >= theirs.sum() - 2
    assert ours_dlr.fooled.sum() >= theirs_dlr.sum() - 2
    assert ours_loss.mean() >= 0.995 * high.mean()
    assert plain.fooled.sum() >= theirs.sum() - 4


def test_dropping_changes_no_verdict(trained):
    """Without random starts both runs walk the same path."""
    model, x, y = trained
    for norm in NORMS:
        kept = pgd(model, x, y, BUDGET[norm], norm, random_start=False)
        dropped = pgd(model, x, y, BUDGET[norm], norm, random_start=False, drop_fooled=True)
        assert torch.equal(kept.fooled, dropped.fooled)
        assert 0 < kept.fooled.sum() < len(x)
    fast = apgd(model, x, y, 0.1, steps=30, restarts=2, drop_fooled=True, generator=seeded())
    slow = apgd(model, x, y, 0.1, steps=30, restarts=2, generator=seeded())
    assert abs(int(fast.fooled.sum()) - int(slow.fooled.sum())) <= 2


def test_examples_do_not_influence_one_another(trained):
    model, x, y = (part.double() if isinstance(part, nn.Module) else part for part in trained)
    x, eps = x[:6].double(), torch.linspace(0.1, 0.6, 6, dtype=torch.float64)
    together = pgd(model, x, y[:6], eps, "l2", random_start=False).x
    for i in range(6):
        alone = pgd(model, x[i : i + 1], y[i : i + 1], float(eps[i]), "l2", random_start=False)
        assert torch.allclose(together[i : i + 1], alone.x, atol=1e-9)
    model.float()


def test_restarts_only_help_and_repeat(trained):
    model, x, y = trained
    few = apgd(model, x, y, 0.1, steps=10, generator=seeded(3))
    many = apgd(model, x, y, 0.1, steps=10, restarts=4, generator=seeded(3))
    again = apgd(model, x, y, 0.1, steps=10, restarts=4, generator=seeded(3))
    assert (many.fooled | ~few.fooled).all()
    assert torch.equal(many.x, again.x)
    other = pgd_last(model, x, y, 0.1, generator=seeded(4))
    assert not torch.equal(other, pgd_last(model, x, y, 0.1, generator=seeded(5)))


def test_steps_cost_one_input_gradient_and_no_weight_gradient():
    model, calls = MLP((64, 16, 10)), []
    model.register_forward_hook(lambda *_: calls.append(1))
    x, y = torch.rand(4, 64), torch.arange(4)
    pgd_last(model, x, y, 0.1, steps=7)
    assert len(calls) == 7
    pgd(model, x, y, 0.1, steps=7)
    assert len(calls) == 7 + 9  # the clean point and the last one are evaluated too
    assert all(weight.grad is None for weight in model.parameters())


def test_tiny_gradients_keep_their_direction():
    gradient = torch.tensor([[3e-30, 4e-30], [0.0, 0.0]])
    assert torch.allclose(steepest(gradient, "l2"), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    x, y = torch.full((1, 2), 0.5), torch.tensor([0])

    def sharp(x):
        return 60 * torch.stack([x[:, 0] + 1, 1 - x[:, 0]], 1)

    sure = pgd(sharp, x, y, 0.2, "l2", random_start=False)
    assert sure.x[0, 0].item() == pytest.approx(0.3)


def test_blocked_pixels_take_no_part_in_an_l2_step():
    """The gradient points mostly out of the box; what is left is followed at full length."""
    weight = torch.tensor([[0.0, 0.0], [-10.0, 1.0]], dtype=torch.float64)
    x, y = torch.tensor([[0.0, 0.5]], dtype=torch.float64), torch.tensor([0])
    found = fgsm(affine(weight), x, y, 0.3, "l2")
    stepped = pgd_last(affine(weight), x, y, 0.3, "l2", steps=1, step_size=0.3, random_start=False)
    expected = torch.tensor([[0.0, 0.8]], dtype=torch.float64)
    assert torch.allclose(found.x, expected)
    assert torch.allclose(stepped, expected)


def test_constant_losses_and_ties():
    x, y = torch.rand(2, 3), torch.tensor([0, 1])
    tied = pgd(lambda x: torch.zeros(len(x), 2), x, y, 0.1)
    assert tied.fooled.all()
    assert fools(torch.tensor([[math.nan, 0.0]]), torch.tensor([0])).all()
    logits, _, gradient = evaluate(lambda x: torch.eye(2), x, y, margin_cross_entropy)
    assert torch.equal(gradient, torch.zeros_like(x))
    assert not fools(logits, y).any()


def test_checkpoints_follow_the_published_schedule():
    for steps in (1, 5, 20, 50, 100, 333):
        length, shrink = max(int(0.22 * steps), 1), max(int(0.03 * steps), 1)
        expected, counter = [], 0
        for step in range(1, steps + 1):  # the library's loop
            counter += 1
            if counter == length:
                expected.append(step)
                length, counter = max(length - shrink, max(int(0.06 * steps), 1)), 0
        assert list(checkpoints(steps)) == expected


def test_dlr_is_the_librarys_and_sees_no_scale():
    logits, y = torch.randn(50, 10, generator=seeded()), torch.arange(50) % 10
    theirs = APGDAttack(None, eps=0.1, device="cpu").dlr_loss(logits, y)
    assert torch.allclose(dlr_loss(logits, y), theirs)
    assert torch.allclose(dlr_loss(100 * logits + 7, y), theirs, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(3))
def test_minimal_norm_of_affine_classes(norm, seed):
    """The distance to the nearest of the hyperplanes, in the dual norm."""
    g = seeded(seed)
    weight = torch.randn(4, 9, dtype=torch.float64, generator=g)
    model, x = affine(weight), torch.randn(30, 9, dtype=torch.float64, generator=g)
    y = torch.where(torch.arange(30) < 5, 0, model(x).argmax(1))
    margin = model(x).detach().gather(1, y[:, None]) - model(x).detach()
    order = 2 if norm == "l2" else 1
    slope = torch.linalg.vector_norm(weight[y].unsqueeze(1) - weight, order, dim=2)
    true = (margin / slope).scatter(1, y[:, None], math.inf).amin(1).clamp(min=0)
    found = minimal_norm(model, x, y, norm, box=None, rounds=18, targeted=True, generator=g)
    assert (found.distance >= true - 1e-9).all()
    assert (found.distance <= 1.05 * true + 1e-6).all()
    assert fools(model(found.x), y).all()
    assert torch.allclose(lengths(found.x - x, norm), found.distance)
    assert (found.distance[true == 0] == 0).all()


def test_minimal_norm_of_a_constant_class_is_infinite():
    x = torch.rand(2, 3)
    found = minimal_norm(lambda x: torch.eye(2)[torch.zeros(len(x), dtype=torch.int64)] + 0 * x[
        :, :2], x, torch.tensor([0, 1]))  # fmt: skip
    assert found.distance.tolist() == [math.inf, 0.0]
    assert torch.equal(found.x, x)


@pytest.mark.parametrize("trained", ["softplus"], indirect=True)
@pytest.mark.parametrize("norm", NORMS)
def test_autoattack(norm, trained):
    model, x, y = trained
    x, y, eps = x[:20], y[:20], BUDGET[norm]
    state, trace = torch.random.get_rng_state(), sys.gettrace()
    found = autoattack(model, x, y, eps, norm, queries=20)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sys.gettrace() is trace
    assert torch.equal(found.x, autoattack(model, x, y, eps, norm, queries=20).x)
    assert torch.equal(found.fooled, fools(model(found.x), y))
    assert (lengths(found.x - x, norm) <= eps * (1 + 1e-5)).all()
    own = pgd(model, x, y, eps, norm, generator=seeded())
    assert found.fooled.sum() >= own.fooled.sum()
    assert 0 < found.fooled.sum() < len(x)


def four_classes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).double()
    x = torch.rand(8, 1, 4, 4, dtype=torch.float64, generator=seeded())
    return model, x, model(x).argmax(1)


def test_autoattack_with_few_classes_and_in_float64():
    model, x, y = four_classes()
    found = autoattack(model, x, y, 0.05, queries=20)
    assert found.x.dtype == torch.float64
    exact = minimal_norm(model, x, y, "linf")
    assert torch.equal(found.fooled, exact.distance <= 0.05)


def test_autoattack_where_float64_is_the_default():
    model, x, y = four_classes()
    wanted = autoattack(model, x, y, 0.05, queries=20)
    torch.set_default_dtype(torch.float64)
    try:
        found = autoattack(model, x, y, 0.05, queries=20)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.x, wanted.x)


def test_masking_report_is_quiet_on_an_honest_network(trained):
    model, x, y = trained
    report = masking_report(model, x[:60], y[:60], 0.05, steps=30, queries=100)
    assert report.flags == ()
    assert report.clean >= report.black_box >= report.cross_entropy >= report.unbounded
    assert report.unbounded == report.zero_gradients == 0


def test_masking_report_finds_masks(trained):
    model, x, y = trained
    x, y = x[:60], y[:60]
    scaled = masking_report(lambda x: 1000 * model(x), x, y, 0.1, steps=20, queries=50)
    assert any("DLR" in flag for flag in scaled.flags)
    assert any("zero" in flag for flag in scaled.flags)
    stepped = masking_report(
        lambda x: model((4 * x).round() / 4), x, y, 0.15, steps=10, queries=300
    )
    assert any("Square" in flag for flag in stepped.flags)
    assert any("unbounded" in flag for flag in stepped.flags)


X, Y = torch.full((2, 1, 4, 4), 0.5), torch.tensor([0, 1])
NET = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pgd(NET, X + 1, Y, 0.1), ValueError, r"inputs in \[0, 1\]. Found 1.5 to 1.5"),
        (lambda: fgsm(NET, X - 1, Y, 0.1), ValueError, r"inputs in \[0, 1\]. Found -0.5"),
        (lambda: autoattack(NET, X + 1, Y, 0.1), ValueError, r"inputs in \[0, 1\]"),
        (lambda: minimal_norm(NET, X + 1, Y), ValueError, r"inputs in \[0, 1\]"),
        (lambda: apgd(NET, X, Y, -0.1), ValueError, "finite eps >= 0. Found -0.1"),
        (lambda: pgd(NET, X, Y, math.nan), ValueError, "finite eps >= 0. Found nan"),
        (lambda: pgd(NET, X, Y, torch.ones(3)), ValueError, r"one eps or \(2,\). Found \(3,\)"),
        (lambda: pgd(NET, X, Y, 0.1, "l1"), ValueError, "'l2' or 'linf'. Found 'l1'"),
        (lambda: pgd(NET, X, Y, 0.1, steps=0), ValueError, "at least one step. Found 0"),
        (lambda: apgd(NET, X, Y, 0.1, restarts=0), ValueError, "at least one restart. Found 0"),
        (lambda: pgd_last(NET, X, Y, 0.1, steps=0), ValueError, "at least one step"),
        (
            lambda: pgd(NET, X, Y, 0.1, restarts=2, random_start=False),
            ValueError,
            "a random start for each restart",
        ),
        (lambda: pgd(NET, X, Y, 0.1, keep="last"), ValueError, "keep='fooled' or 'loss'"),
        (lambda: pgd(NET, X, Y + 4, 0.1), ValueError, "labels from 0 to 3. Found 4 to 5"),
        (lambda: pgd(NET, X, Y[:1], 0.1), ValueError, r"labels \(2,\). Found shape \(1,\)"),
        (lambda: pgd(NET, X[:0], Y[:0], 0.1), ValueError, "non-empty input"),
        (lambda: pgd(NET, X / 0, Y, 0.1), ValueError, "finite input"),
        (lambda: pgd(NET, X.long(), Y, 0.1), TypeError, "float32 or float64 input"),
        (
            lambda: pgd(NET, X, Y, 0.1, loss=lambda f, y: margin_cross_entropy(f, y).mean()),
            ValueError,
            r"per-example losses of shape \(2,\), got \(\)",
        ),
        (
            lambda: pgd(
                nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 4)), X, Y, 0.1
            ),
            ValueError,
            "BatchNorm in training mode",
        ),
        (lambda: dlr_loss(torch.zeros(1, 2), Y[:1]), ValueError, "three classes for DLR. Found 2"),
        (lambda: minimal_norm(NET, X, Y, rounds=0), ValueError, "at least one round. Found 0"),
        (lambda: minimal_norm(NET, X, Y, first=0.0), ValueError, "positive first budget. Found 0"),
        (lambda: autoattack(NET, X[:, 0], Y, 0.1), ValueError, r"images \(B, C, H, W\)"),
        (lambda: autoattack(NET, X, Y, 0.1, queries=0), ValueError, "queries >= 1. Found 250, 0"),
        (
            lambda: autoattack(lambda x: NET(x)[:, :3], X, Y, 0.1),
            ValueError,
            "four classes for AutoAttack. Found 3",
        ),
        (lambda: masking_report(NET, X, Y, 0.1, tolerance=-1), ValueError, "0 <= tolerance < 1"),
    ],
)
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
