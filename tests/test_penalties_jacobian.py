import pytest
import torch
from penalty_oracles import C, D, assert_slope, batch, jacobians, network, weight_gradient

from curvlab.losses import margin_cross_entropy
from curvlab.penalties import (
    CrossLipschitz,
    JacobianEntrywise,
    JacobianFrobenius,
    JacobianSpectral,
)

LAWS = ["gaussian", "rademacher", "sphere"]


def explicit(model, x, of="logits", centered=False):
    J = jacobians(model if of == "logits" else lambda a: model(a).softmax(1), x)
    return J - J.mean(1, keepdim=True) if centered else J


def draws(penalty, model, x, y, n, seed=0):
    """`n` values for one example, from one batch of copies."""
    many = x[:1].expand(n, -1), y[:1].expand(n)
    draw = torch.Generator().manual_seed(seed)
    return penalty(model, *many, generator=draw).penalty.detach()


def assert_mean_and_variance(values, mean, variance):
    n = len(values)
    assert abs(values.mean() - mean) <= 4 * (variance / n) ** 0.5 + 1e-12 * abs(mean)
    fourth = ((values - values.mean()) ** 4).mean()
    spread = ((fourth - variance**2).clamp(min=0) / n) ** 0.5
    assert abs(values.var() - variance) <= 5 * spread + 1e-12 * mean**2


@pytest.mark.parametrize("of", ["logits", "probabilities"])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("square", [False, True])
def test_exact_frobenius_is_its_definition(of, centered, square):
    model, (x, y) = network(), batch()
    wanted = torch.linalg.matrix_norm(explicit(model, x, of, centered))
    penalty = JacobianFrobenius(None, of=of, centered=centered, squared=square)
    found = penalty(model, x, y)
    torch.testing.assert_close(found.penalty, wanted**2 if square else wanted)
    torch.testing.assert_close(found.loss, margin_cross_entropy(model(x), y))
    assert_slope(lambda: penalty(model, x, y).penalty, model)


@pytest.mark.parametrize("law", LAWS)
def test_one_probe_is_unbiased_with_the_stated_variance(law):
    model, (x, y) = network(), batch()
    A = (J := explicit(model, x[:1])[0].detach()) @ J.mT
    size = (A**2).sum()
    variance = {
        "gaussian": 2 * size,
        "rademacher": 2 * (size - (A.diagonal() ** 2).sum()),
        "sphere": 2 / (C + 2) * (C * size - A.trace() ** 2),
    }[law]
    values = draws(JacobianFrobenius(1, law), model, x, y, 40_000)
    assert_mean_and_variance(values, A.trace(), variance)
    values = draws(JacobianFrobenius(4, law), model, x, y, 10_000)
    assert_mean_and_variance(values, A.trace(), variance / 4)


@pytest.mark.parametrize("law", LAWS)
def test_centered_probes_see_the_centered_jacobian(law):
    model, (x, y) = network(), batch()
    J = explicit(model, x[:1], centered=True)[0].detach()
    A = J @ J.mT
    size = (A**2).sum()
    variance = {
        "gaussian": 2 * size,
        "rademacher": 2 * (size - (A.diagonal() ** 2).sum()),
        "sphere": 2 / (C + 1) * ((C - 1) * size - A.trace() ** 2),
    }[law]
    values = draws(JacobianFrobenius(1, law, centered=True), model, x, y, 40_000)
    assert_mean_and_variance(values, A.trace(), variance)


def test_a_probe_costs_nothing_in_accuracy_where_its_law_fits():
    # J J' = 4 I: sphere and signs have no variance
    model = torch.nn.Linear(3, 3, bias=False).double()
    model.weight.data = 2 * torch.eye(3, dtype=torch.float64)
    x, y = torch.rand(8, 3, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    for law in ("sphere", "rademacher"):
        found = JacobianFrobenius(1, law)(model, x, y).penalty
        torch.testing.assert_close(found, torch.full_like(found, 12))


def test_a_probes_weight_gradient_is_that_of_its_own_quadratic_form():
    model, (x, y) = network(), batch()
    draw = torch.Generator().manual_seed(5)
    penalty = JacobianFrobenius(2, "gaussian")
    found = penalty(model, x, y, generator=torch.Generator().manual_seed(5)).penalty
    z = [torch.randn(len(x), C, dtype=torch.float64, generator=draw) for _ in range(2)]
    J = explicit(model, x)
    wanted = sum(torch.einsum("bc,bcd->bd", v, J).square().sum(1) for v in z) / 2
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))


def test_cross_lipschitz_is_the_double_sum():
    model, (x, y) = network(), batch()
    J = explicit(model, x)
    wanted = (J.unsqueeze(1) - J.unsqueeze(2)).square().sum((1, 2, 3)) / C**2
    penalty = CrossLipschitz(None)
    torch.testing.assert_close(penalty(model, x, y).penalty, wanted)
    assert_slope(lambda: penalty(model, x, y).penalty, model)


def test_one_cross_lipschitz_probe_is_unbiased_with_the_stated_variance():
    model, (x, y) = network(), batch()
    J = explicit(model, x[:1], centered=True)[0].detach()
    A = J @ J.mT
    variance = (2 / C) ** 2 * 2 / (C + 1) * ((C - 1) * (A**2).sum() - A.trace() ** 2)
    values = draws(CrossLipschitz(1), model, x, y, 40_000)
    assert_mean_and_variance(values, 2 / C * A.trace(), variance)


def test_cross_lipschitz_ignores_what_all_logits_share():
    model, (x, y) = network(), batch()
    shared = torch.nn.Linear(D, 1).double()
    draw, again = (torch.Generator().manual_seed(0) for _ in range(2))
    plain = CrossLipschitz()(model, x, y, generator=draw)
    common = CrossLipschitz()(lambda a: model(a) + 5 * shared(a), x, y, generator=again)
    torch.testing.assert_close(common.penalty, plain.penalty)
    torch.testing.assert_close(common.loss, plain.loss)


@pytest.mark.parametrize(("method", "steps"), [("lanczos", C), ("power", 300), ("gram", 1)])
@pytest.mark.parametrize("of", ["logits", "probabilities"])
@pytest.mark.parametrize("centered", [False, True])
def test_spectral_is_the_largest_singular_value(method, steps, of, centered):
    model, (x, y) = network(), batch()
    wanted = torch.linalg.matrix_norm(explicit(model, x, of, centered), 2)
    for square in (False, True):
        penalty = JacobianSpectral(method, steps, of, centered, square)
        found = penalty(model, x, y, generator=torch.Generator().manual_seed(0)).penalty
        target = wanted**2 if square else wanted
        torch.testing.assert_close(found, target)
        torch.testing.assert_close(
            weight_gradient(found, model), weight_gradient(target, model), rtol=1e-4, atol=1e-6
        )


def test_spectral_iterations_stay_below_and_their_slope_is_measured():
    model, (x, y) = network(), batch(20)
    top = torch.linalg.matrix_norm(explicit(model, x), 2)
    for method in ("lanczos", "power"):
        for steps in (1, 2, 3):
            found = JacobianSpectral(method, steps, squared=False)(model, x, y).penalty
            assert (found <= top * (1 + 1e-12)).all()
    assert_slope(lambda: JacobianSpectral("gram")(model, x, y).penalty, model)


@pytest.mark.parametrize("of", ["logits", "probabilities"])
def test_entrywise_is_its_definition(of):
    model, (x, y) = network(), batch()
    penalty = JacobianEntrywise(of=of)
    wanted = explicit(model, x, of).abs().sum((1, 2))
    torch.testing.assert_close(penalty(model, x, y).penalty, wanted)
    assert_slope(lambda: penalty(model, x, y).penalty, model)


def test_sampled_rows_are_unbiased_with_the_stated_variance():
    model, (x, y) = network(), batch()
    rows = explicit(model, x[:1])[0].detach().abs().sum(1)
    variance = C * (rows**2).sum() - rows.sum() ** 2
    values = draws(JacobianEntrywise(1), model, x, y, 40_000)
    assert_mean_and_variance(values, rows.sum(), variance)
    values = draws(JacobianEntrywise(3), model, x, y, 10_000)
    assert_mean_and_variance(values, rows.sum(), variance / 3)


def test_an_image_and_its_flat_copy_agree():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3)).double()
    x, y = torch.rand(4, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    for penalty in (
        JacobianFrobenius(None),
        CrossLipschitz(None),
        JacobianSpectral("gram", centered=True),
        JacobianEntrywise(),
    ):
        flat = penalty(model, x.flatten(1), y).penalty
        torch.testing.assert_close(penalty(model, x, y).penalty, flat)
