import pytest
import torch
from penalty_oracles import D, assert_slope, batch, gradients, hessians, network, weight_gradient

from curvlab.losses import margin_cross_entropy
from curvlab.penalties import GradientFiniteDifference, InputGradient

ORDERS = {"l1": 1, "l2": 2, "linf": float("inf")}


@pytest.mark.parametrize("norm", ORDERS)
@pytest.mark.parametrize("squared", [False, True])
def test_input_gradient_is_its_definition(norm, squared):
    model, (x, y) = network(), batch()
    found = InputGradient(norm, squared)(model, x, y)
    wanted = torch.linalg.vector_norm(gradients(model, x, y), ORDERS[norm], dim=1)
    torch.testing.assert_close(found.penalty, wanted**2 if squared else wanted)
    torch.testing.assert_close(found.loss, margin_cross_entropy(model(x), y))
    assert_slope(lambda: InputGradient(norm, squared)(model, x, y).penalty, model)


def test_a_binary_linear_network_has_the_closed_form():
    model = torch.nn.Linear(3, 2).double()
    x, y = torch.rand(4, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    p = model(x).softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)
    w = model.weight[0] - model.weight[1]
    for norm, order in ORDERS.items():
        found = InputGradient(norm, squared=False)(model, x, y).penalty
        torch.testing.assert_close(found, (1 - p) * torch.linalg.vector_norm(w, order))


@pytest.mark.parametrize("norm", ORDERS)
def test_a_saturated_example_has_a_zero_penalty_with_a_zero_derivative(norm):
    model = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(model.weight, 0.0)
    for penalty in (InputGradient(norm, False), GradientFiniteDifference(1e-2, norm, False)):
        value = penalty(model, torch.ones(2, 2), torch.tensor([0, 1])).penalty
        assert (value == 0).all()
        assert weight_gradient(value, model).isfinite().all()


def direction(norm, g):
    """The unit step and the factor that makes its slope the norm."""
    if norm == "l2":
        return g / g.norm(dim=1, keepdim=True), 1.0
    if norm == "l1":
        return g.sign() / D**0.5, D**0.5
    return torch.where(g.abs() == g.abs().amax(1, keepdim=True), g.sign(), 0), 1.0


@pytest.mark.parametrize("norm", ORDERS)
def test_finite_difference_adds_half_the_curvature_along_it(norm):
    model, (x, y) = network(), batch()
    d, scale = direction(norm, gradients(model, x, y).detach())
    curvature = torch.einsum("bi,bij,bj->b", d, hessians(model, x, y), d)
    found = GradientFiniteDifference(1e-4, norm, squared=False)(model, x, y).penalty
    excess = found - InputGradient(norm, squared=False)(model, x, y).penalty
    torch.testing.assert_close(excess / 1e-4, scale * curvature / 2, rtol=1e-2, atol=1e-3)


def test_finite_difference_sees_signed_curvature():
    # the loss c x^2 / 2 + x at 0: slope to step is 1 + c step / 2
    for c in (-3.0, 3.0):
        model = torch.nn.Identity()

        def loss(z, y, c=c):
            return c * z[:, 0] ** 2 / 2 + z[:, 0] - 0 * z[:, 1]

        found = GradientFiniteDifference(0.1, squared=False)(
            model, torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]), loss=loss
        )
        assert found.penalty.item() == pytest.approx(1 + 0.05 * c)


@pytest.mark.parametrize("norm", ORDERS)
def test_finite_difference_holds_its_direction_fixed(norm):
    model, (x, y) = network(), batch()
    d, scale = direction(norm, gradients(model, x, y).detach())
    step = 0.05
    rise = margin_cross_entropy(model(x + step * d), y) - margin_cross_entropy(model(x), y)
    wanted = (scale * rise / step) ** 2
    found = GradientFiniteDifference(step, norm)(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
