"""Products with Hessians and Jacobians against explicit float64 matrices and closed forms."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from truth import ACTIVATIONS, generator, hessians, jacobians, problem, rows, symmetric

from curvlab.calculus import (
    gauss_newton_root,
    gauss_newton_spectrum,
    hessian_operator,
    hvp,
    input_gradient,
    jacobian_operator,
    jvp,
    parameter_hessian,
    vjp,
)
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
NETWORKS = [("mlp", name) for name in ACTIVATIONS] + [("cnn", "softplus"), ("cnn", "relu")]


def loss_of(model, y):
    return lambda x: margin_cross_entropy(model(x), y)


def random_like(x, seed=9):
    return torch.randn(x.shape, generator=generator(seed), dtype=x.dtype).to(x.device)


# --- against explicit matrices


@pytest.mark.parametrize(("architecture", "activation"), NETWORKS)
def test_hessian_and_gradient_are_the_explicit_ones(architecture, activation):
    model, x, y = problem(activation, architecture)
    operator = hessian_operator(loss_of(model, y), x)
    wanted = hessians(model, x, y)
    assert wanted.abs().amax() > 1e-3
    torch.testing.assert_close(rows(operator, x), wanted, rtol=1e-9, atol=1e-12)
    v = random_like(x)
    image = torch.einsum("bij,bj->bi", wanted, v.flatten(1)).view_as(x)
    torch.testing.assert_close(hvp(loss_of(model, y), x, v), image)

    leaf = x.clone().requires_grad_()
    F.cross_entropy(model(leaf), y, reduction="sum").backward()
    torch.testing.assert_close(input_gradient(loss_of(model, y), x), leaf.grad)
    torch.testing.assert_close(operator.gradient.detach(), leaf.grad)
    stock = F.cross_entropy(model(x), y, reduction="none")
    torch.testing.assert_close(operator.value, stock)


@pytest.mark.parametrize(("architecture", "activation"), NETWORKS)
def test_jacobian_is_the_explicit_one(architecture, activation):
    model, x, _ = problem(activation, architecture)
    operator = jacobian_operator(model, x)
    wanted = jacobians(model, x)
    torch.testing.assert_close(operator.matrix().flatten(2), wanted)
    torch.testing.assert_close(operator.gram(), wanted @ wanted.mT)
    v, u = random_like(x), random_like(operator.output.detach())
    forward = torch.einsum("bci,bi->bc", wanted, v.flatten(1))
    back = torch.einsum("bci,bc->bi", wanted, u).view_as(x)
    torch.testing.assert_close(operator.apply(v), forward)
    torch.testing.assert_close(operator.apply(2 * v), 2 * forward)
    torch.testing.assert_close(operator.transpose(u), back)
    torch.testing.assert_close(jvp(model, x, v), forward)
    torch.testing.assert_close(vjp(model, x, u), back)


def test_jacobian_of_a_field_with_shaped_outputs():
    x = random_like(torch.zeros(2, 1, 4, 5, dtype=torch.float64))
    field = nn.Conv2d(1, 3, 3).double()
    explicit = torch.autograd.functional.jacobian(lambda z: field(z).sum(0), x)
    v, u = random_like(x), random_like(field(x).detach())
    operator = jacobian_operator(field, x)
    torch.testing.assert_close(operator.apply(v), torch.einsum("cijbklm,bklm->bcij", explicit, v))
    torch.testing.assert_close(
        operator.transpose(u), torch.einsum("cijbklm,bcij->bklm", explicit, u)
    )


@pytest.mark.parametrize("activation", ["softplus", "tanh", "relu"])
def test_parameter_hessian_is_the_explicit_one(activation):
    model, x, y = problem(activation)
    names, weights = zip(*model.named_parameters(), strict=True)
    sizes = [w.numel() for w in weights]

    def loss(flat):
        parts = [p.view_as(w) for p, w in zip(flat.split(sizes), weights, strict=True)]
        return F.cross_entropy(functional_call(model, dict(zip(names, parts, strict=True)), x), y)

    flat = torch.cat([w.detach().flatten() for w in weights])
    operator = parameter_hessian(lambda m: margin_cross_entropy(m(x), y).mean(), model)
    v = random_like(flat.unsqueeze(0))
    image = torch.autograd.functional.hessian(loss, flat) @ v[0]
    torch.testing.assert_close(operator(v), image.unsqueeze(0))
    assert operator.gradient.shape == v.shape
    (gradient,) = torch.autograd.grad(loss(flat.requires_grad_()), flat)
    torch.testing.assert_close(operator.gradient[0], gradient)


def test_parameter_hessian_covers_trainable_weights_alone():
    model, x, y = problem("tanh")
    model[1].requires_grad_(False)
    operator = parameter_hessian(lambda m: margin_cross_entropy(m(x), y).mean(), model)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert operator.gradient.shape == (1, count)


# --- closed forms


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**31), st.floats(-13, 12))
def test_quadratics_of_every_scale(batch, size, seed, exponent):
    scale = 10.0**exponent
    matrix, _ = symmetric(torch.randn(batch, size, generator=generator(seed)), seed)
    matrix = scale * matrix
    x, v = random_like(matrix[:, 0], seed), random_like(matrix[:, 0], seed + 1)

    def loss(x):
        return torch.einsum("bi,bij,bj->b", x, matrix, x) / 2 + x.sum(1)

    wanted = torch.einsum("bij,bj->bi", matrix, v)
    torch.testing.assert_close(hvp(loss, x, v), wanted, rtol=1e-9, atol=1e-13 * scale)
    gradient = torch.einsum("bij,bj->bi", matrix, x) + 1
    torch.testing.assert_close(input_gradient(loss, x), gradient, rtol=1e-9, atol=1e-13 * scale)


def test_rank_one():
    a = random_like(torch.zeros(3, 5, dtype=torch.float64))
    x, v = random_like(a, 1), random_like(a, 2)
    t = (a * x).sum(1, keepdim=True)
    found = hvp(lambda x: (a * x).sum(1).sin(), x, v)
    torch.testing.assert_close(found, -t.sin() * a * (a * v).sum(1, keepdim=True))


def test_softmax_regression():
    draw = generator(1)
    weight = torch.randn(4, 6, generator=draw, dtype=torch.float64)
    x, y = torch.randn(3, 6, generator=draw, dtype=torch.float64), torch.tensor([0, 3, 1])
    p = (x @ weight.T).softmax(1)
    inner = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    matrix = weight.T @ inner @ weight
    operator = hessian_operator(lambda x: margin_cross_entropy(x @ weight.T, y), x)
    torch.testing.assert_close(rows(operator, x), matrix)
    values = gauss_newton_spectrum(lambda x: x @ weight.T, x)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix)[:, -4:], atol=1e-13, rtol=1e-9)


def test_gauss_newton_spectrum_is_the_hessians_where_logits_are_piecewise_linear():
    model, x, y = problem("relu", batch=5)
    explicit = torch.linalg.eigvalsh(hessians(model, x, y))
    found = gauss_newton_spectrum(model, x)
    torch.testing.assert_close(found, explicit[:, -4:], atol=1e-12, rtol=1e-9)
    assert explicit[:, :-4].abs().max() < 1e-12
    root = gauss_newton_root(jacobian_operator(model, x))
    torch.testing.assert_close(root.mT @ root, hessians(model, x, y), atol=1e-12, rtol=1e-9)


def test_gauss_newton_spectrum_is_only_a_part_where_they_are_not():
    model, x, y = problem("softplus", batch=5)
    rows_ = jacobians(model, x)
    p = model(x).softmax(1).detach()
    part = rows_.mT @ (torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)) @ rows_
    wanted = torch.linalg.eigvalsh(part)[:, -4:]
    torch.testing.assert_close(gauss_newton_spectrum(model, x), wanted, atol=1e-12, rtol=1e-9)
    explicit = torch.linalg.eigvalsh(hessians(model, x, y))[:, -4:]
    assert (explicit - wanted).abs().max() > 1e-2


def test_gauss_newton_spectrum_keeps_the_digits_of_confident_examples():
    logits = torch.tensor([[1.0, 0.3, 0.0], [12, 0, -1], [25, 1, 0], [-5, 40, 3], [5, 0, 21]])
    found = gauss_newton_spectrum(lambda x: x, logits).double()
    p = logits.double().softmax(1)
    exactly = torch.linalg.eigvalsh(torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1))
    torch.testing.assert_close(found[0], exactly[0], rtol=1e-5, atol=1e-6)
    # 1 - p is exact to 1e-16 in float64, so these three know the answer to 1e-16 / p
    top = gauss_newton_spectrum(lambda x: x, logits.double())[:, 2]
    torch.testing.assert_close(found[:, 2], top, rtol=1e-5, atol=0)
    torch.testing.assert_close(top[:2], exactly[:2, 2], rtol=1e-9, atol=1e-15)


def test_gauss_newton_spectrum_is_differentiable():
    model, x, _ = problem("tanh", batch=2)
    assert not gauss_newton_spectrum(model, x).requires_grad
    weight, h = model[1].weight, 1e-6
    direction = random_like(weight)

    def top():
        return gauss_newton_spectrum(model, x, differentiable=True)[:, -1].sum()

    (gradient,) = torch.autograd.grad(top(), weight)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * h * direction
            ends.append(top().item())
            weight -= sign * h * direction
    assert (gradient * direction).sum().item() == pytest.approx(
        (ends[0] - ends[1]) / (2 * h), rel=1e-6
    )


# --- identities


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(NETWORKS), st.integers(1, 4), st.integers(0, 2**31))
def test_adjointness_and_symmetry(network, batch, seed):
    architecture, activation = network
    model, x, y = problem(activation, architecture, batch, seed)
    v, w = random_like(x, seed + 1), random_like(x, seed + 2)
    jacobian = jacobian_operator(model, x)
    u = random_like(jacobian.output.detach(), seed + 3)
    forward = (u * jacobian.apply(v)).sum(1)
    torch.testing.assert_close(forward, (jacobian.transpose(u) * v).flatten(1).sum(1))
    hessian = hessian_operator(loss_of(model, y), x)
    left = (w * hessian(v)).flatten(1).sum(1)
    torch.testing.assert_close(left, (v * hessian(w)).flatten(1).sum(1))
    torch.testing.assert_close(hessian(2 * v - w), 2 * hessian(v) - hessian(w))


@pytest.mark.parametrize(("architecture", "activation"), NETWORKS[:2] + NETWORKS[-2:])
def test_examples_do_not_influence_one_another(architecture, activation):
    model, x, y = problem(activation, architecture, batch=4)
    v = random_like(x)
    together = hvp(loss_of(model, y), x, v)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(hvp(loss_of(model, y[order]), x[order], v[order]), together[order])
    for i in range(4):
        one = slice(i, i + 1)
        torch.testing.assert_close(hvp(loss_of(model, y[one]), x[one], v[one]), together[one])
    spoiled = v.clone()
    spoiled[1] = float("nan")
    found = hvp(loss_of(model, y), x, spoiled)
    torch.testing.assert_close(found[[0, 2, 3]], together[[0, 2, 3]])
    assert found[1].isnan().any()


def test_float32_agrees_with_float64():
    model, x, y = problem("softplus", "cnn")
    v = random_like(x)
    exactly = hvp(loss_of(model, y), x, v)
    found = hvp(loss_of(model.float(), y), x.float(), v.float()).double()
    assert ((found - exactly).flatten(1).norm(dim=1) <= 1e-5 * exactly.flatten(1).norm(dim=1)).all()


# --- one graph, differentiable products


def finite_difference(model, direction, scalar, h=1e-5):
    """The derivative of `scalar()` along `direction` in the weights."""
    ends = []
    for sign in (1, -1):
        for weight, d in zip(model.parameters(), direction, strict=True):
            weight.data += sign * h * d
        ends.append(scalar())
        for weight, d in zip(model.parameters(), direction, strict=True):
            weight.data -= sign * h * d
    return (ends[0] - ends[1]) / (2 * h)


@pytest.mark.parametrize("kind", ["hessian", "apply", "transpose", "gram", "parameter"])
def test_a_differentiable_product_after_cheap_ones(kind):
    model, x, y = problem("softplus", batch=2)
    direction = [random_like(w, i) for i, w in enumerate(model.parameters())]
    v = random_like(x)
    flat = random_like(torch.cat([w.detach().flatten() for w in model.parameters()])).unsqueeze(0)
    u = random_like(torch.zeros(2, 4, dtype=x.dtype))

    def product(differentiable):
        if kind == "hessian":
            operator = hessian_operator(loss_of(model, y), x)
            first = operator(v)
            image = operator(v, differentiable=differentiable)
        elif kind == "parameter":
            operator = parameter_hessian(lambda m: margin_cross_entropy(m(x), y).mean(), model)
            first = operator(flat)
            image = operator(flat, differentiable=differentiable)
        else:
            operator = jacobian_operator(model, x)
            arguments = {"apply": [v], "transpose": [u], "gram": []}[kind]
            first = getattr(operator, kind)(*arguments)
            image = getattr(operator, kind)(*arguments, differentiable=differentiable)
        assert not first.requires_grad
        assert first.equal(image.detach())
        return image

    assert not product(False).requires_grad
    # the last bias moves no Jacobian
    gradients = torch.autograd.grad(
        product(True).square().sum(), list(model.parameters()), materialize_grads=True
    )
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)).item()
    scalar = finite_difference(model, direction, lambda: product(False).square().sum().item())
    assert slope == pytest.approx(scalar, rel=1e-6)


def test_the_derivative_of_an_eigenvalue_needs_no_eigensolver():
    model, x, y = problem("softplus", batch=3)
    direction = [random_like(w, i) for i, w in enumerate(model.parameters())]
    values, vectors = torch.linalg.eigh(hessians(model, x, y))
    for index, which in ((-1, "largest"), (0, "smallest")):
        v = vectors[:, :, index]
        operator = hessian_operator(loss_of(model, y), x)
        form = (v * operator(v, differentiable=True)).sum(1)
        torch.testing.assert_close(form.detach(), values[:, index])
        for i in range(3):
            gradients = torch.autograd.grad(form[i], list(model.parameters()), retain_graph=True)
            slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)).item()

            def eigenvalue(i=i, index=index):
                one = slice(i, i + 1)
                return torch.linalg.eigvalsh(hessians(model, x[one], y[one]))[0, index].item()

            wanted = finite_difference(model, direction, eigenvalue)
            assert slope == pytest.approx(wanted, rel=1e-6, abs=1e-9), which


def test_the_direction_may_carry_derivatives_too():
    a = torch.tensor([[2.0, 3.0]])
    v = torch.tensor([[1.0, 1.0]], requires_grad=True)
    operator = hessian_operator(lambda x: (a * x**2).sum(1) / 2, torch.ones(1, 2))
    image = operator(v, differentiable=True)
    assert torch.autograd.grad(image.sum(), v)[0].equal(a)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.enable_grad])
def test_works_whatever_the_callers_gradient_mode(guard):
    model, x, y = problem("softplus")
    v = random_like(x)
    wanted = hvp(loss_of(model, y), x, v)
    u = random_like(torch.zeros(3, 4, dtype=x.dtype))
    pulled = vjp(model, x, u)
    pushed = jvp(model, x, v)
    with guard():
        assert hvp(loss_of(model, y), x, v).equal(wanted)
        assert vjp(model, x, u).equal(pulled)
        assert jvp(model, x, v).equal(pushed)
        assert hessian_operator(loss_of(model, y), x)(v, differentiable=True).requires_grad
        assert jacobian_operator(model, x).apply(v, differentiable=True).requires_grad
        assert gauss_newton_spectrum(model, x).shape == (3, 4)
        input_gradient(loss_of(model, y), x)
        parameter_hessian(lambda m: margin_cross_entropy(m(x), y).sum(), model)


def test_inference_mode_is_refused_and_its_tensors_are_not():
    model, x, y = problem("softplus")
    message = r"requires a recorded graph. Found inference_mode: use torch.no_grad\(\)."
    with torch.inference_mode():
        made_here = x.clone()
        for call in (
            lambda: input_gradient(loss_of(model, y), x),
            lambda: hessian_operator(loss_of(model, y), x),
            lambda: jvp(model, x, x),
            lambda: vjp(model, x, torch.ones(3, 4, dtype=x.dtype)),
            lambda: parameter_hessian(lambda m: m(x).sum(), model),
        ):
            with pytest.raises(RuntimeError, match=message):
                call()
    wanted = input_gradient(loss_of(model, y), x)
    assert input_gradient(loss_of(model, y), made_here).equal(wanted)


def test_frozen_weights_change_nothing():
    model, x, y = problem("gelu")
    v = random_like(x)
    wanted = hvp(loss_of(model, y), x, v)
    pushed = jvp(model, x, v)
    model.requires_grad_(False)
    assert hvp(loss_of(model, y), x, v).equal(wanted)
    assert jvp(model, x, v).equal(pushed)


def test_the_callers_tensors_stay_as_they_are():
    model, x, y = problem("softplus")
    for tracked in (False, True):
        x.requires_grad_(tracked)
        before = x.detach().clone()
        operator = hessian_operator(loss_of(model, y), x)
        operator(random_like(x))
        jacobian_operator(model, x).gram()
        assert x.grad is None
        assert x.requires_grad is tracked
        assert x.detach().equal(before)
        assert all(w.grad is None for w in model.parameters())


def test_an_operator_leaves_no_graph_behind():
    model, x, y = problem("softplus")
    gc.disable()
    try:
        operator = hessian_operator(loss_of(model, y), x)
        operator(random_like(x), differentiable=True)
        jacobian = jacobian_operator(model, x)
        jacobian.apply(random_like(x))
        kept = [weakref.ref(operator.value), weakref.ref(operator), weakref.ref(jacobian.output)]
        del operator, jacobian
        assert [reference() for reference in kept] == [None] * 3
    finally:
        gc.enable()


# --- nothing to differentiate: exact zeros


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("differentiable", [False, True])
def test_linear_networks_have_a_zero_hessian(frozen, differentiable):
    model = MLP((6, 5, 3), "relu").double()
    model[2] = nn.Identity()
    model.requires_grad_(not frozen)
    x = random_like(torch.zeros(4, 6, dtype=torch.float64))
    operator = hessian_operator(lambda x: model(x)[:, 0], x)
    assert operator.gradient.abs().min() > 0
    assert operator(x, differentiable=differentiable).equal(torch.zeros_like(x))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: torch.ones(len(x), dtype=x.dtype),
        lambda x: x.detach().square().sum(1),
        lambda x: 0 * x.sum(1),
        lambda x: torch.ones(len(x), dtype=x.dtype, requires_grad=True) * 2,
    ],
)
def test_losses_that_do_not_depend_on_x(loss):
    x = random_like(torch.zeros(2, 3))
    assert input_gradient(loss, x).equal(torch.zeros(2, 3))
    operator = hessian_operator(loss, x)
    assert operator.gradient.equal(torch.zeros(2, 3))
    assert operator(x).equal(torch.zeros(2, 3))
    assert operator(x, differentiable=True).equal(torch.zeros(2, 3))


def test_fields_and_weights_that_do_not_matter():
    x = torch.ones(2, 3)
    operator = jacobian_operator(lambda x: torch.ones(2, 4), x)
    assert operator.apply(x).equal(torch.zeros(2, 4))
    assert operator.apply(x, differentiable=True).equal(torch.zeros(2, 4))
    assert operator.transpose(torch.ones(2, 4)).equal(x - x)
    assert operator.gram().equal(torch.zeros(2, 4, 4))
    model = nn.Linear(2, 1)
    for loss in (lambda m: torch.tensor(1.0), lambda m: m.weight.sum()):
        operator = parameter_hessian(loss, model)
        assert operator(torch.ones(1, 3)).equal(torch.zeros(1, 3))


# --- layers that are random or mix examples


def test_dropout_is_drawn_once_for_an_operator():
    model = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Dropout(0.5), nn.Linear(40, 3)).double()
    x = random_like(torch.zeros(3, 6, dtype=torch.float64))
    v, w, y = random_like(x, 1), random_like(x, 2), torch.tensor([0, 1, 2])
    operator = hessian_operator(loss_of(model, y), x)
    assert operator(v).equal(operator(v))
    torch.testing.assert_close((w * operator(v)).sum(1), (v * operator(w)).sum(1))
    assert not hessian_operator(loss_of(model, y), x)(v).equal(operator(v))


def batch_normalized(layer):
    return nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norm_in_training_mode_is_refused(batch, frozen):
    x, y = random_like(torch.zeros(batch, 1, 4, 4)), torch.zeros(batch, dtype=torch.int64)
    model = batch_normalized(nn.BatchNorm2d(4)).requires_grad_(not frozen)
    message = r"requires model.eval\(\). Found BatchNorm in training mode."
    for call in (
        lambda: input_gradient(loss_of(model, y), x),
        lambda: hessian_operator(loss_of(model, y), x),
        lambda: jacobian_operator(model, x),
        lambda: gauss_newton_spectrum(model, x),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    model.eval()
    wanted = torch.cat([input_gradient(loss_of(model, y[:1]), one) for one in x.split(1)])
    torch.testing.assert_close(input_gradient(loss_of(model, y), x), wanted)


def test_batch_statistics_in_evaluation_mode_are_refused_too():
    model = batch_normalized(nn.BatchNorm2d(4, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="BatchNorm in training mode"):
        jacobian_operator(model, torch.zeros(3, 1, 4, 4))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    "layer", [nn.InstanceNorm2d(4), nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4)]
)
def test_normalization_within_an_example_is_welcome(layer, batch):
    model = batch_normalized(layer).double()
    x = random_like(torch.zeros(batch, 1, 4, 4, dtype=torch.float64))
    y = torch.zeros(batch, dtype=torch.int64)
    alone = torch.cat([hvp(loss_of(model, y[:1]), one, one) for one in x.split(1)])
    torch.testing.assert_close(hvp(loss_of(model, y), x, x), alone)


# --- dtype, device, bad input


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_dtype_and_device_follow_the_input(dtype, device):
    model, x, y = problem("softplus", dtype=dtype)
    model, x, y = model.to(device), x.to(device), y.to(device)
    operator, jacobian = hessian_operator(loss_of(model, y), x), jacobian_operator(model, x)
    weights = parameter_hessian(lambda m: margin_cross_entropy(m(x), y).mean(), model)
    results = [
        input_gradient(loss_of(model, y), x),
        operator.gradient,
        operator(x),
        jacobian.apply(x),
        jacobian.transpose(jacobian.output.detach()),
        jacobian.gram(),
        gauss_newton_spectrum(model, x),
        weights(weights.gradient.detach()),
    ]
    assert {(r.dtype, r.device.type) for r in results} == {(dtype, device)}


@CUDA
def test_cuda_agrees_with_the_cpu():
    model, x, y = problem("softplus", "cnn")
    v = random_like(x)
    wanted = hvp(loss_of(model, y), x, v)
    found = hvp(loss_of(model.cuda(), y.cuda()), x.cuda(), v.cuda())
    torch.testing.assert_close(found.cpu(), wanted)


X, V = torch.ones(2, 3), torch.ones(2, 3)


def cube(x):
    return (x**3).sum(1)


BAD_INPUTS = [
    (X.long(), TypeError, "requires a float32 or float64 input. Found torch.int64."),
    (X.half(), TypeError, "requires a float32 or float64 input. Found torch.float16."),
    (X[0], ValueError, r"requires a non-empty input \(B, \*shape\). Found \(3,\)."),
    (X[:0], ValueError, r"requires a non-empty input \(B, \*shape\). Found \(0, 3\)."),
    (X * float("nan"), ValueError, r"requires a finite input. Found NaN or infinity."),
    (X / 0, ValueError, r"requires a finite input. Found NaN or infinity."),
]
ENTRIES = [
    lambda x: input_gradient(cube, x),
    lambda x: hvp(cube, x, x),
    lambda x: hessian_operator(cube, x),
    lambda x: jacobian_operator(lambda x: x**2, x),
    lambda x: jvp(lambda x: x**2, x, x),
    lambda x: vjp(lambda x: x**2, x, x),
    lambda x: gauss_newton_spectrum(lambda x: x**2, x),
]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs(entry, case):
    x, error, message = case
    with pytest.raises(error, match=message):
        entry(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: input_gradient(lambda x: cube(x).sum(), X),
            r"expected per-example losses of shape \(2,\), got \(\)",
        ),
        (
            lambda: hessian_operator(lambda x: x**2, X),
            r"expected per-example losses of shape \(2,\), got \(2, 3\)",
        ),
        (
            lambda: input_gradient(lambda x: cube(x).mean(), torch.ones(128, 3)),
            r"expected per-example losses of shape \(128,\), got \(\)",
        ),
        (
            lambda: hvp(cube, X, V[:1]),
            r"requires a vector of shape \(2, 3\), torch.float32, cpu. "
            r"Found \(1, 3\), torch.float32, cpu.",
        ),
        (
            lambda: hvp(cube, X, V.double()),
            r"requires a vector of shape \(2, 3\), torch.float32, cpu. "
            r"Found \(2, 3\), torch.float64, cpu.",
        ),
        (
            lambda: jvp(lambda x: x**2, X, V[:, :2]),
            r"requires a vector of shape \(2, 3\), .* Found \(2, 2\), ",
        ),
        (
            lambda: vjp(lambda x: x[:, :2], X, V),
            r"requires a covector of shape \(2, 2\), .* Found \(2, 3\), ",
        ),
        (
            lambda: jacobian_operator(lambda x: x.sum(1), X),
            r"requires outputs \(2, ...\). Found \(2,\).",
        ),
        (
            lambda: jacobian_operator(lambda x: x[:1], X),
            r"requires outputs \(2, ...\). Found \(1, 3\).",
        ),
        (
            lambda: jacobian_operator(lambda x: x.unsqueeze(2), X).gram(),
            r"requires outputs \(B, C\). Found \(2, 3, 1\).",
        ),
        (
            lambda: parameter_hessian(lambda m: m.weight, nn.Linear(3, 2)),
            r"requires a scalar loss. Found shape \(2, 3\).",
        ),
        (
            lambda: parameter_hessian(lambda m: X.sum(), nn.Linear(3, 2).requires_grad_(False)),
            "requires a model with trainable weights. Found none.",
        ),
    ],
)
def test_bad_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
