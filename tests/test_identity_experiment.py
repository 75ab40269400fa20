"""The experiment on identities in training: twins, their exceptions, and the rows of a run."""

import identities
import pytest
import torch

from curvlab.data import Examples
from curvlab.networks import MLP
from curvlab.penalties import Cure, HessianNorm


def images(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 28, 28, generator=draw, dtype=torch.float64)
    return Examples(x, torch.arange(count) % 2)


def network(activation):
    torch.manual_seed(5)
    return MLP(identities.SIZES, activation, beta=8.0).double()


@pytest.mark.parametrize("activation", identities.ACTIVATIONS)
def test_margin_and_its_gradient_are_those_of_two_logits(activation):
    model, (x, y) = network(activation), images(6)
    seen = {}
    twin = identities.Twin(lambda p, w: seen.setdefault("all", (p, w))[0])
    loss = twin(model, x, y).loss
    p, w = seen["all"]
    torch.testing.assert_close(p, model(x).softmax(1).gather(1, y[:, None])[:, 0])
    torch.testing.assert_close(loss, -p.log())
    rows = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x).flatten(2)
    own = torch.arange(6)
    torch.testing.assert_close(w, rows[own, y] - rows[own, 1 - y])


@pytest.mark.parametrize(
    ("name", "activation", "equal"),
    [
        ("input-gradient", "relu", True), ("input-gradient", "softplus", True),
        ("cross-lipschitz", "relu", True), ("cross-lipschitz", "softplus", True),
        ("hessian-norm", "relu", True), ("hessian-norm", "softplus", False),
        ("jacobian-frobenius", "relu", False), ("cure", "relu", False),
    ],
)
def test_a_twin_has_the_value_and_the_weights_gradient_where_the_identity_holds(
    name, activation, equal
):
    model, (x, y) = network(activation), images(12)
    found = []
    for penalty in identities.PAIRS[name][:2]:
        value = penalty(model, x, y).penalty
        slopes = torch.autograd.grad(value.sum(), list(model.parameters()), allow_unused=True)
        flat = [torch.zeros_like(p) if s is None else s
                for p, s in zip(model.parameters(), slopes, strict=True)]
        found.append((value.detach(), torch.cat([s.flatten() for s in flat])))
    (value, slope), (twin, twin_slope) = found
    assert torch.allclose(value, twin, rtol=1e-9) is equal
    assert torch.allclose(slope, twin_slope, rtol=1e-7, atol=1e-10) is equal


def test_cure_meets_its_twin_on_a_short_step_and_the_norm_along_the_gradient():
    model, (x, y) = network("relu"), images(12)
    short, step = Cure(1e-7)(model, x, y).penalty, identities.STEP
    twin = identities.PAIRS["cure"][1](model, x, y).penalty
    torch.testing.assert_close(short * (step / 1e-7) ** 2, twin, rtol=1e-4, atol=0)
    slopes = [
        torch.cat([s.flatten() for s in torch.autograd.grad(value.sum(), weights)])
        for weights in [[model[1].weight, model[3].weight, model[5].weight]]
        for value in (short * (step / 1e-7) ** 2, twin)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-6)
    along = Cure(1e-7, direction="gradient", squared=False)(model, x, y).penalty / 1e-7
    torch.testing.assert_close(along, HessianNorm()(model, x, y).penalty, rtol=1e-4, atol=0)


@pytest.mark.parametrize("activation", identities.ACTIVATIONS)
def test_what_the_jacobians_twin_lacks_is_the_common_mode(activation):
    model, (x, y) = network(activation), images(12)
    penalty, twin, _ = identities.PAIRS["jacobian-frobenius"]
    lacking = penalty(model, x, y).penalty - twin(model, x, y).penalty
    x.requires_grad_()
    (common,) = torch.autograd.grad(model(x).sum(), x)
    torch.testing.assert_close(lacking, common.flatten(1).square().sum(1) / 2)


def test_a_run_has_one_row_a_penalty_and_tells_twins_from_strangers():
    rows = list(identities.run("relu", 1, images(128), images(40, 1), 2, 10))
    assert [row["method"] for row in rows] == list(identities.PAIRS)
    shares = {row["method"]: row["near"] for row in rows}
    assert shares["input-gradient"] == shares["hessian-norm"] == shares["cross-lipschitz"] == 1
    assert shares["cure"] < 1
    for row in rows:
        assert -1e-9 < row["low"] <= row["near"] <= row["high"] < 1 + 1e-9
        assert (row["apart"] < 1e-6) is (row["method"] not in ("cure", "jacobian-frobenius"))


def test_a_network_depends_on_its_seed_and_not_on_what_was_drawn_before():
    weights = []
    for seed in (1, 1, 2):
        torch.rand(seed)
        model = identities.trained("relu", identities.Plain(), 0.0, images(64), seed, 1)
        weights.append(model[1].weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
