"""What holds for every penalty of a classifier."""

import gc
import weakref

import pytest
import torch
from penalty_oracles import C, D, batch, network

import curvlab.penalties as penalties
from curvlab.data import Examples
from curvlab.losses import margin_cross_entropy
from curvlab.penalties import (
    CrossLipschitz,
    Cure,
    Elle,
    GradAlign,
    GradientFiniteDifference,
    HessianNorm,
    InputGradient,
    JacobianEntrywise,
    JacobianFrobenius,
    JacobianSpectral,
    KrylovAdversary,
    Llr,
    Penalty,
    Scorpio,
    SecondOrderModel,
    Soar,
)
from curvlab.training import TrainingError, fit

FIXED = [
    InputGradient(),
    InputGradient("l1", squared=False),
    GradientFiniteDifference(),
    JacobianFrobenius(None),
    JacobianFrobenius(None, of="probabilities", centered=True),
    JacobianSpectral("gram"),
    JacobianEntrywise(),
    CrossLipschitz(None),
    Cure(),
    Cure(squared=False, direction="corner", detach=True),
    HessianNorm(),
    HessianNorm("power", squared=True),
    HessianNorm("ascent"),
    HessianNorm("gram"),
    SecondOrderModel(0.3),
    Scorpio(0.3),
    Scorpio(0.3, 2, "linf", difference=0.5),
    KrylovAdversary(0.3),
    KrylovAdversary(0.3, norm="linf"),
]
RANDOM = [
    JacobianFrobenius(1),
    JacobianFrobenius(2, "rademacher", centered=True),
    JacobianSpectral("lanczos"),
    JacobianSpectral("power", centered=True),
    JacobianEntrywise(1),
    CrossLipschitz(1),
    HessianNorm(start="random"),
    Llr(0.3),
    Elle(0.3),
    GradAlign(0.3),
    Soar(0.3),
    Soar(0.3, "l2", "lanczos"),
]
EVERY = FIXED + RANDOM
every = pytest.mark.parametrize("penalty", EVERY, ids=repr)


def run(penalty, model, x, y, seed=0, **options):
    return penalty(model, x, y, generator=torch.Generator().manual_seed(seed), **options)


def test_every_penalty_is_tried():
    public = [getattr(penalties, name) for name in penalties.__all__]
    wanted = {p for p in public if isinstance(p, type) and issubclass(p, Penalty)} - {Penalty}
    assert {type(penalty) for penalty in EVERY} == wanted


@every
def test_a_training_step_takes_three_lines(penalty):
    model, (x, y) = network(), batch()
    untouched = torch.random.get_rng_state()
    terms = run(penalty, model, x, y)
    (terms.loss + 0.1 * terms.penalty).mean().backward()
    assert terms.loss.shape == terms.penalty.shape == (len(x),)
    torch.testing.assert_close(terms.loss, margin_cross_entropy(model(x), y))
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
    assert x.grad is None
    assert torch.equal(untouched, torch.random.get_rng_state())


@every
def test_the_generator_decides_all_that_is_random(penalty):
    model, (x, y) = network(), batch()
    first, again = run(penalty, model, x, y), run(penalty, model, x, y)
    assert torch.equal(first.penalty, again.penalty)
    other = run(penalty, model, x, y, seed=1)
    assert torch.equal(first.penalty, other.penalty) == (penalty in FIXED)
    assert penalty(model, x, y).penalty.isfinite().all()  # without one: the global generator


@pytest.mark.parametrize("penalty", FIXED, ids=repr)
def test_examples_do_not_influence_one_another(penalty):
    model, (x, y) = network(), batch()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    together = run(penalty, model, x, y).penalty
    torch.testing.assert_close(run(penalty, model, x[order], y[order]).penalty, together[order])
    twice = run(penalty, model, x.repeat(2, 1), y.repeat(2)).penalty
    torch.testing.assert_close(twice, together.repeat(2))
    for i in (0, 4):
        alone = run(penalty, model, x[i : i + 1], y[i : i + 1]).penalty
        torch.testing.assert_close(alone, together[i : i + 1])


@pytest.mark.parametrize("penalty", RANDOM, ids=repr)
def test_a_random_penalty_depends_on_its_own_example_alone(penalty):
    model, (x, y) = network(), batch()
    together = run(penalty, model, x, y).penalty
    x = x.clone()
    x[0], x[5] = x[0] / 2, 0.3
    changed = run(penalty, model, x, y).penalty
    torch.testing.assert_close(changed[1:5], together[1:5])
    assert changed[0] != together[0]


@every
def test_float32_follows_its_input_and_agrees_with_float64(penalty):
    model, (x, y) = network(), batch()
    x = x.float().double()
    double = run(penalty, model, x, y).penalty if penalty in FIXED else None
    single = run(penalty, model.float(), x.float(), y)
    assert single.loss.dtype == single.penalty.dtype == torch.float32
    if double is not None:
        again = run(penalty, model.double(), x, y).penalty
        rtol = 3e-2 if isinstance(penalty, GradientFiniteDifference) else 1e-3
        torch.testing.assert_close(single.penalty.double(), again, rtol=rtol, atol=1e-5)


@every
def test_bad_batches_are_refused(penalty):
    model, (x, y) = network(), batch()
    for bad, message in (
        ((x[:0], y[:0]), r"non-empty input \(B, \*shape\). Found \(0, 5\)"),
        ((x[0], y[0]), "non-empty input"),
        ((x.long(), y), "float32 or float64 input. Found torch.int64"),
        ((x * float("nan"), y), "finite input. Found NaN"),
        ((x, y + C), f"labels from 0 to {C - 1}. Found"),
        ((x, y - C), f"labels from 0 to {C - 1}. Found"),
        ((x, y[:2]), r"labels \(6,\). Found shape \(2,\)"),
        ((x, y.double()), "int64 labels. Found torch.float64"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            penalty(model, *bad)
    with pytest.raises(ValueError, match=r"expected per-example losses of shape \(6,\), got \(\)"):
        penalty(model, x, y, loss=lambda z, y: margin_cross_entropy(z, y).mean())
    with pytest.raises(ValueError, match=r"requires logits \(B, C\), C >= 2. Found"):
        penalty(torch.nn.Linear(D, 1).double(), x, y)
    mixing = torch.nn.Sequential(torch.nn.BatchNorm1d(D), torch.nn.Linear(D, C)).double()
    with pytest.raises(ValueError, match="BatchNorm in training mode"):
        penalty(mixing, x, y)
    assert penalty(mixing.eval(), x, y).penalty.isfinite().all()


@every
def test_a_diverged_network_gives_nan_and_no_error_of_its_own(penalty):
    model, (x, y) = network(), batch()
    torch.nn.init.constant_(model[1].weight, torch.nan)
    terms = run(penalty, model, x, y)
    assert terms.loss.isnan().all()
    assert terms.penalty.isnan().all()


def test_fit_names_the_step_at_which_a_penalized_training_diverges():
    model, (x, y) = network(), batch(64)
    with pytest.raises(TrainingError, match=r"requires a finite loss. Found .* at step \d"):
        fit(
            model,
            Examples(x, y),
            HessianNorm(),
            strength=1.0,
            epochs=2,
            seed=0,
            batch_size=8,
            learning_rate=1e300,
            quiet=True,
        )


@pytest.mark.parametrize("penalty", [InputGradient(), Cure(), HessianNorm(), KrylovAdversary(0.3)])
def test_naming_the_weights_leaves_out_the_images_and_changes_nothing(penalty):
    model, (x, y) = network(), batch()
    found = []
    for inputs in (None, list(model.parameters())):
        model.zero_grad()
        terms = run(penalty, model, x, y)
        (terms.loss + terms.penalty).mean().backward(inputs=inputs)
        found.append([weight.grad for weight in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@every
def test_nothing_outlives_the_step(penalty):
    model, (x, y) = network(), batch()
    gc.collect()
    gc.disable()
    try:
        seen = []

        def spy(point):
            logits = model(point)
            seen.extend([weakref.ref(point), weakref.ref(logits)])
            return logits

        terms = run(penalty, spy, x, y)
        (terms.loss + terms.penalty).mean().backward()
        del terms
        assert all(ref() is None for ref in seen)
    finally:
        gc.enable()


@every
def test_graphs_are_wanted_even_where_gradients_are_switched_off(penalty):
    model, (x, y) = network(), batch()
    with torch.no_grad():
        terms = run(penalty, model, x, y)
    assert torch.equal(terms.penalty, run(penalty, model, x, y).penalty)
    terms.penalty.sum().backward()


@every
def test_frozen_weights_are_enough_to_measure(penalty):
    model, (x, y) = network(), batch()
    wanted = run(penalty, model, x, y).penalty
    model.requires_grad_(False)
    torch.testing.assert_close(run(penalty, model, x, y).penalty, wanted)


@pytest.mark.parametrize(
    "penalty",
    [p for p in EVERY if isinstance(p, HessianNorm | Cure | GradAlign | Elle)],
    ids=repr,
)
def test_a_frozen_linear_score_has_no_curvature(penalty):
    model = torch.nn.Linear(D, C).double().requires_grad_(False)
    x, y = batch()
    score = lambda z, y: z.gather(1, y.unsqueeze(1)).squeeze(1)  # noqa: E731
    assert run(penalty, model, x, y, loss=score).penalty.max() < 1e-28


def test_bad_settings_are_refused():
    for make, message in (
        (lambda: InputGradient("l3"), "one of l1, l2, linf. Found 'l3'"),
        (lambda: GradientFiniteDifference(0.0), "positive, finite step. Found 0.0"),
        (lambda: GradientFiniteDifference(1.0, "tv"), "one of l1, l2, linf. Found 'tv'"),
        (lambda: JacobianFrobenius(0), "at least one of probes. Found 0"),
        (lambda: JacobianFrobenius(law="cauchy"), "one of gaussian, rademacher, sphere"),
        (lambda: JacobianFrobenius(of="loss"), "one of logits, probabilities. Found 'loss'"),
        (lambda: CrossLipschitz(0), "at least one of probes. Found 0"),
        (lambda: JacobianSpectral("ascent"), "one of lanczos, power, gram. Found 'ascent'"),
        (lambda: JacobianSpectral(steps=0), "at least one of steps. Found 0"),
        (lambda: JacobianSpectral(of="loss"), "one of logits, probabilities"),
        (lambda: JacobianEntrywise(0), "at least one of probes. Found 0"),
        (lambda: JacobianEntrywise(of="loss"), "one of logits, probabilities"),
        (lambda: Cure(step=-1.0), "positive, finite step. Found -1.0"),
        (lambda: Cure(direction="up"), "one of sign, corner, gradient. Found 'up'"),
        (lambda: HessianNorm("exact"), "one of lanczos, power, ascent, gram. Found 'exact'"),
        (lambda: HessianNorm(steps=0), "at least one of steps. Found 0"),
        (lambda: HessianNorm(start="warm"), "one of gradient, random. Found 'warm'"),
        (lambda: HessianNorm("ascent", rate=0.0), "positive, finite rate. Found 0.0"),
        (lambda: SecondOrderModel(0.0), "positive, finite epsilon. Found 0.0"),
        (lambda: SecondOrderModel(0.1, HessianNorm(squared=True)), "Found its square"),
        (lambda: Scorpio(-0.1), "positive, finite epsilon. Found -0.1"),
        (lambda: Scorpio(0.1, 0), "at least one of steps. Found 0"),
        (lambda: Scorpio(0.1, norm="l1"), "one of l2, linf. Found 'l1'"),
        (lambda: Scorpio(0.1, difference=0.0), "positive, finite difference. Found 0.0"),
        (lambda: KrylovAdversary(float("nan")), "positive, finite epsilon. Found nan"),
        (lambda: KrylovAdversary(0.1, 0), "at least one of steps. Found 0"),
        (lambda: KrylovAdversary(0.1, norm="l1"), "one of l2, linf. Found 'l1'"),
        (lambda: KrylovAdversary(0.1, corners=0), "at least one of corners. Found 0"),
        (lambda: Llr(0.0), "positive, finite epsilon. Found 0.0"),
        (lambda: Llr(0.1, "l1"), "one of l2, linf. Found 'l1'"),
        (lambda: Llr(0.1, steps=0), "at least one of steps. Found 0"),
        (lambda: Llr(0.1, step_size=0.0), "positive, finite step size. Found 0.0"),
        (lambda: Llr(0.1, ratio=-1.0), "finite ratio >= 0. Found -1.0"),
        (lambda: Elle(0.0), "positive, finite epsilon. Found 0.0"),
        (lambda: Elle(0.1, "l1"), "one of l2, linf. Found 'l1'"),
        (lambda: GradAlign(0.0), "positive, finite epsilon. Found 0.0"),
        (lambda: GradAlign(0.1, "l1"), "one of l2, linf. Found 'l1'"),
        (lambda: Soar(0.0), "positive, finite epsilon. Found 0.0"),
        (lambda: Soar(0.1, "l1"), "one of l2, linf. Found 'l1'"),
        (lambda: Soar(0.1, method="power"), "one of gaussian, lanczos. Found 'power'"),
        (lambda: Soar(0.1, steps=0), "at least one of steps. Found 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
