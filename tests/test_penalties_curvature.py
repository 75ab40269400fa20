import pytest
import torch
from penalty_oracles import (
    D,
    assert_slope,
    batch,
    gradients,
    hessians,
    network,
    weight_gradient,
)

from curvlab.penalties import Cure, HessianNorm, SecondOrderModel

EXACT = {"lanczos": D, "power": 400, "ascent": 400}


def norms(model, x, y):
    return torch.linalg.matrix_norm(hessians(model, x, y), 2)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("start", ["gradient", "random"])
def test_hessian_norm_is_the_operator_norm(method, start):
    model, (x, y) = network("tanh"), batch()
    draw = torch.Generator().manual_seed(0)
    penalty = HessianNorm(method, EXACT[method], start=start, rate=10.0)
    found = penalty(model, x, y, generator=draw).penalty
    torch.testing.assert_close(found, norms(model, x, y), rtol=1e-6, atol=0)


@pytest.mark.parametrize("squared", [False, True])
def test_its_derivative_is_that_of_the_maximum(squared):
    model, (x, y) = network("tanh"), batch()
    penalty = HessianNorm("lanczos", D, squared)
    assert_slope(lambda: penalty(model, x, y).penalty, model)
    wanted = norms(model, x, y)
    wanted = wanted**2 if squared else wanted
    found = penalty(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))


@pytest.mark.parametrize("method", ["lanczos", "power", "ascent"])
def test_any_number_of_steps_stays_below_the_norm(method):
    model, (x, y) = network("tanh"), batch(20)
    top = norms(model, x, y)
    last = torch.zeros_like(top)
    for steps in (1, 2, 3, 5):
        found = HessianNorm(method, steps)(model, x, y).penalty
        assert (found <= top * (1 + 1e-12)).all()
        if method != "lanczos":  # the ascent and power iteration on H never go down
            assert (found >= last * (1 - 1e-12)).all()
        last = found


def test_gram_is_exact_on_rectifiers_where_three_steps_may_not_be():
    model, (x, y) = network("relu"), batch(20)
    torch.testing.assert_close(HessianNorm("gram")(model, x, y).penalty, norms(model, x, y))
    assert_slope(lambda: HessianNorm("gram")(model, x, y).penalty, model)


def test_gram_on_a_smooth_network_is_a_lower_bound_from_the_gauss_newton_direction():
    model, (x, y) = network("tanh"), batch(20)
    found, top = HessianNorm("gram")(model, x, y).penalty, norms(model, x, y)
    assert (found <= top * (1 + 1e-12)).all()
    assert (found < 0.999 * top).any()


def test_a_tie_of_opposite_signs_is_found_by_every_method():
    # H = diag(2, -2, 1, 1): |v'Hv| of an even mixture of the first two is 0, |Hv| is 2
    scale = torch.tensor([2.0, -2.0, 1.0, 1.0], dtype=torch.float64)

    def loss(z, y):
        return (scale * z**2).sum(1) / 2

    x, y = torch.ones(1, 4, dtype=torch.float64), torch.tensor([0])
    for method in ("lanczos", "power", "ascent"):
        found = HessianNorm(method, steps=30)(torch.nn.Identity(), x, y, loss=loss)
        assert found.penalty.item() == pytest.approx(2, rel=1e-6)


def test_one_ascent_step_is_a_shifted_power_step_on_the_square():
    model, (x, y) = network("tanh"), batch()
    H, g = hessians(model, x, y).detach(), gradients(model, x, y).detach()
    v = g / g.norm(dim=1, keepdim=True)
    Hv = torch.einsum("bij,bj->bi", H, v)
    shift = Hv.norm(dim=1, keepdim=True) / 0.3
    v = torch.einsum("bij,bj->bi", H, Hv) + shift * v
    v = v / v.norm(dim=1, keepdim=True)
    wanted = torch.einsum("bij,bj->bi", H, v).norm(dim=1)
    found = HessianNorm("ascent", 1, rate=0.3)(model, x, y).penalty
    torch.testing.assert_close(found, wanted)


def test_the_inexact_direction_is_held_fixed():
    model, (x, y) = network("tanh"), batch()
    H = hessians(model, x, y)
    g = gradients(model, x, y).detach()
    v = torch.einsum("bij,bj->bi", H.detach(), g)
    v = v / v.norm(dim=1, keepdim=True)
    wanted = torch.einsum("bij,bj->bi", H, v).norm(dim=1)
    found = HessianNorm("power", 1)(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))


@pytest.mark.parametrize("method", ["lanczos", "power", "ascent", "gram"])
def test_a_linear_score_has_exact_zeros(method):
    model = torch.nn.Linear(3, 2).double()
    x, y = torch.rand(4, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0])

    def loss(z, y):
        return z.gather(1, y.unsqueeze(1)).squeeze(1)

    assert (HessianNorm(method)(model, x, y, loss=loss).penalty == 0).all()


def test_second_order_model_joins_gradient_and_curvature():
    model, (x, y) = network("tanh"), batch()
    penalty = SecondOrderModel(0.3, HessianNorm("lanczos", D))
    g = gradients(model, x, y).norm(dim=1)
    wanted = 0.3 * g + 0.045 * norms(model, x, y)
    found = penalty(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    assert_slope(lambda: penalty(model, x, y).penalty, model)


def test_second_order_model_bounds_the_quadratic_model():
    model, (x, y) = network("tanh"), batch()
    g, H = gradients(model, x, y), hessians(model, x, y)
    bound = SecondOrderModel(0.3, HessianNorm("lanczos", D))(model, x, y).penalty
    delta = torch.randn(2000, 1, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    delta = 0.3 * delta / delta.norm(dim=2, keepdim=True)
    rise = (delta * g).sum(2) + torch.einsum("nbi,bij,nbj->nb", delta, H, delta) / 2
    assert (rise <= bound + 1e-12).all()


def direction(name, g):
    z = g if name == "gradient" else g.sign()
    return z if name == "corner" else z / z.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("name", ["sign", "corner", "gradient"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("detach", [False, True])
def test_cure_is_the_change_of_the_gradient(name, squared, detach):
    model, (x, y) = network(), batch()
    g = gradients(model, x, y)
    moved = gradients(model, x + 0.7 * direction(name, g.detach()), y)
    change = (moved - (g.detach() if detach else g)).norm(dim=1)
    wanted = change**2 if squared else change
    penalty = Cure(0.7, squared, name, detach)
    found = penalty(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    if name != "gradient" and not detach:  # signs do not move with the weights
        assert_slope(lambda: penalty(model, x, y).penalty, model)


def test_cure_tends_to_the_product_with_the_hessian():
    model, (x, y) = network(), batch()
    H, z = hessians(model, x, y), direction("sign", gradients(model, x, y))
    wanted = torch.einsum("bij,bj->bi", H, z).norm(dim=1)
    found = Cure(1e-5, squared=False)(model, x, y).penalty / 1e-5
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)


def test_cure_sees_a_kink_that_the_hessian_does_not():
    def loss(z, y):
        return torch.relu(z[:, 0] - 0.01) + 1e-3 * z[:, 0]

    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    model = torch.nn.Identity()
    assert HessianNorm()(model, x, y, loss=loss).penalty.item() == 0
    for step in (0.05, 0.5):  # the jump of the slope, whatever the step
        found = Cure(step, squared=False, direction="gradient")(model, x, y, loss=loss)
        assert found.penalty.item() == pytest.approx(1)
