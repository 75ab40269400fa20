import pytest
import torch
from penalty_oracles import C, D, assert_slope, batch, jacobians, network, weight_gradient

from curvlab.losses import margin_cross_entropy
from curvlab.objectives import Fgsm, GaussianNoise, PgdTraining, Plain, Trades, divergence

OBJECTIVES = [
    Plain(),
    GaussianNoise(0.2),
    Fgsm(0.1),
    Fgsm(0.3, "l2", random_start=True, step_size=0.375),
    PgdTraining(0.1),
    PgdTraining(0.3, "l2", steps=3),
    Trades(0.1, steps=3),
    Trades(0.3, 2.0, "l2", steps=3),
]


def run(objective, model, x, y, seed=0):
    return objective(model, x, y, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_a_step_needs_three_lines_and_the_penalty_is_zero(objective):
    model, (x, y) = network(), batch()
    before = torch.random.get_rng_state()
    terms = run(objective, model, x, y)
    assert terms.loss.shape == terms.penalty.shape == (len(x),)
    assert (terms.penalty == 0).all()
    (terms.loss + 0.5 * terms.penalty).mean().backward()
    assert all(w.grad.isfinite().all() for w in model.parameters())
    assert x.grad is None
    assert torch.equal(before, torch.random.get_rng_state())  # only the generator was drawn from
    assert torch.equal(run(objective, model, x, y).loss, terms.loss)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_bad_batches_are_refused(objective):
    model, (x, y) = network(), batch()
    for bad, message in (
        ((x[:0], y[:0]), "non-empty input"),
        ((x.long(), y), "float32 or float64 input"),
        ((x, y + C), f"labels from 0 to {C - 1}"),
        ((x, y[:2]), r"labels \(6,\)"),
        ((x, y.float()), "int64 labels"),
        ((x * float("nan"), y), "finite input"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            objective(model, *bad)
    mixing = torch.nn.Sequential(torch.nn.BatchNorm1d(D), torch.nn.Linear(D, C)).double()
    with pytest.raises(ValueError, match="BatchNorm in training mode"):
        objective(mixing, x, y)
    objective(mixing.eval(), x, y)


def test_examples_do_not_influence_one_another():
    model, (x, y) = network(), batch()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for objective in (Plain(), Fgsm(0.1), Fgsm(0.1, "l2"), PgdTraining(0.1, random_start=False)):
        together = objective(model, x, y).loss
        torch.testing.assert_close(objective(model, x[order], y[order]).loss, together[order])
        torch.testing.assert_close(objective(model, x[2:3], y[2:3]).loss, together[2:3])


def test_plain_is_the_loss_and_its_slope():
    model, (x, y) = network(), batch()
    torch.testing.assert_close(Plain()(model, x, y).loss, margin_cross_entropy(model(x), y))
    assert_slope(lambda: Plain()(model, x, y).loss, model)


def test_noise_adds_half_the_variance_times_the_trace():
    # loss z1^2 + 3 z2^2, trace 8: the mean excess is exactly 4 sigma^2, its variance
    # 2 sigma^4 (1 + 9) + 4 sigma^2 (x1^2 + 9 x2^2)
    def loss(z, y):
        return z[:, 0] ** 2 + 3 * z[:, 1] ** 2

    x, n, sigma = torch.tensor([[0.5, 0.2]], dtype=torch.float64), 100_000, 0.3
    many, y = x.expand(n, 2), torch.zeros(n, dtype=torch.int64)
    draw = torch.Generator().manual_seed(0)
    found = GaussianNoise(sigma)(torch.nn.Identity(), many, y, generator=draw, loss=loss).loss
    excess = found - loss(x, y)
    spread = (20 * sigma**4 + 4 * sigma**2 * (0.25 + 0.36)) ** 0.5
    assert abs(excess.mean().item() - 4 * sigma**2) < 4 * spread / n**0.5
    assert excess.std().item() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_on_a_binary_linear_network_one_step_is_the_exact_worst_case(norm):
    model = torch.nn.Linear(3, 2).double()
    x, y = torch.full((4, 3), 0.5, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    w = model.weight[0] - model.weight[1]
    dual = w.norm() if norm == "l2" else w.abs().sum()
    z = model(x)
    margin = (z[:, 0] - z[:, 1]) * (1 - 2 * y)
    worst = torch.nn.functional.softplus(0.2 * dual - margin)
    torch.testing.assert_close(Fgsm(0.2, norm)(model, x, y).loss, worst)
    for steps in (1, 7):
        found = PgdTraining(0.2, norm, steps, random_start=False)(model, x, y)
        torch.testing.assert_close(found.loss, worst)
        torch.testing.assert_close(
            weight_gradient(found.loss, model), weight_gradient(worst, model)
        )


def test_more_steps_attack_harder_and_the_box_holds():
    model, (x, y) = network(gain=4.0), batch(40)
    plain = Plain()(model, x, y).loss.mean()
    one = PgdTraining(0.2, steps=1, step_size=0.02, random_start=False)(model, x, y).loss.mean()
    ten = PgdTraining(0.2, steps=10, step_size=0.04, random_start=False)(model, x, y).loss.mean()
    assert plain < one < ten

    def seen(point):
        assert ((point >= 0) & (point <= 1)).all()
        return model(point)

    for norm in ("l2", "linf"):
        run(PgdTraining(5.0, norm), seen, x, y)
        run(Trades(5.0, norm=norm), seen, x, y)
    with pytest.raises(ValueError, match=r"inputs in \[0, 1\]"):
        PgdTraining(0.1)(model, 2 * x, y)
    run(PgdTraining(0.1, box=None), model, 2 * x, y)


def test_the_attacked_point_is_held_fixed():
    model, (x, y) = network(), batch()
    point = PgdTraining(0.1, random_start=False).attacked(model, x, y, None, margin_cross_entropy)
    found = PgdTraining(0.1, random_start=False)(model, x, y).loss
    wanted = margin_cross_entropy(model(point), y)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    assert_slope(lambda: PgdTraining(0.1, random_start=False)(model, x, y).loss, model)


def test_divergence_is_kullback_leibler():
    z, w = torch.randn(2, 7, C, dtype=torch.float64)
    p, q = torch.distributions.Categorical(logits=z), torch.distributions.Categorical(logits=w)
    torch.testing.assert_close(divergence(z, w), torch.distributions.kl_divergence(p, q))


def test_trades_tends_to_the_fisher_spectral_norm():
    # in a small l2 ball the divergence is d'J'SJd / 2, at most epsilon^2 / 2 lambda_max
    model, (x, y) = network(), batch()
    J, p = jacobians(model, x), model(x).softmax(1)
    S = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    top = torch.linalg.eigvalsh(J.mT @ S @ J)[:, -1]
    epsilon = 1e-3
    objective = Trades(epsilon, 6.0, "l2", steps=60, step_size=epsilon, box=None)
    excess = run(objective, model, x, y).loss - margin_cross_entropy(model(x), y)
    torch.testing.assert_close(excess, 6 * epsilon**2 / 2 * top, rtol=1e-2, atol=0)


def test_trades_differentiates_both_distributions():
    model, (x, y) = network(), batch()
    objective = Trades(0.1, 3.0, steps=2)
    found = run(objective, model, x, y).loss
    held, seen = model(x).detach(), []

    def spy(point):
        seen.append(point.detach().clone())
        return model(point)

    run(objective, spy, x, y)
    wanted = margin_cross_entropy(model(x), y) + 3 * divergence(model(x), model(seen[-1]))
    half = margin_cross_entropy(model(x), y) + 3 * divergence(held, model(seen[-1]))
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    gap = weight_gradient(found, model) - weight_gradient(half, model)
    assert gap.norm() > 1e-4 * weight_gradient(found, model).norm()


def test_bad_settings_are_refused():
    for make, message in (
        (lambda: GaussianNoise(0.0), "positive, finite sigma. Found 0.0"),
        (lambda: PgdTraining(-0.1), "positive, finite epsilon. Found -0.1"),
        (lambda: Fgsm(float("inf")), "positive, finite epsilon. Found inf"),
        (lambda: PgdTraining(0.1, "l3"), "one of l2, linf. Found 'l3'"),
        (lambda: PgdTraining(0.1, steps=0), "at least one of steps. Found 0"),
        (lambda: PgdTraining(0.1, step_size=0.0), "positive, finite step size. Found 0.0"),
        (lambda: Trades(0.1, beta=-1.0), "positive, finite beta. Found -1.0"),
        (lambda: Trades(0.1, steps=0), "at least one of steps"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
