import pytest
import torch
from penalty_oracles import D, assert_slope, batch, jacobians, network, weight_gradient
from torch.autograd.functional import hessian

from curvlab.penalties import Products, SpectralTarget

TARGETS = ["zero", "symmetry", "diagonality"]


def field(seed=0):
    return network("tanh", seed, (D, 6, D))


def energy(seed=0):
    model = network("tanh", seed, (D, 6, 1))
    return model, lambda x: model(x).squeeze(1)


def explicit_hessians(f, x):
    return torch.stack([hessian(lambda a: f(a.unsqueeze(0))[0], a, create_graph=True) for a in x])


def difference(A, target):
    if target == "zero":
        return A
    return A - (A.mT if target == "symmetry" else torch.diag_embed(A.sum(-1)))


def assert_is(found, wanted, model):
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        weight_gradient(found, model), weight_gradient(wanted, model), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("method", "steps"), [("lanczos", D), ("power", 500)])
@pytest.mark.parametrize("square", [False, True])
def test_a_fields_jacobian(target, method, steps, square):
    model, (x, _) = field(), batch()
    penalty = SpectralTarget("jacobian", target, method, steps, square)
    terms = penalty(model, x, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(terms.output, model(x))
    wanted = torch.linalg.matrix_norm(difference(jacobians(model, x), target), 2)
    assert_is(terms.penalty, wanted**2 if square else wanted, model)


@pytest.mark.parametrize("target", ["zero", "diagonality"])
@pytest.mark.parametrize(("method", "steps"), [("lanczos", D), ("power", 500)])
def test_a_functions_hessian(target, method, steps):
    (model, f), (x, _) = energy(), batch()
    penalty = SpectralTarget("hessian", target, method, steps)
    terms = penalty(f, x, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(terms.output, f(x))
    wanted = torch.linalg.matrix_norm(difference(explicit_hessians(f, x), target), 2) ** 2
    assert_is(terms.penalty, wanted, model)


@pytest.mark.parametrize("target", TARGETS)
def test_its_slope_in_the_weights_is_measured(target):
    model, (x, _) = field(), batch()
    penalty = SpectralTarget("jacobian", target, steps=D)
    assert_slope(lambda: penalty(model, x).penalty, model)


def test_any_target_given_by_its_products():
    model, (x, _) = field(), batch()
    A0 = torch.randn(len(x), D, D, dtype=torch.float64)
    target = Products(
        lambda v: torch.einsum("bij,bj->bi", A0, v), lambda u: torch.einsum("bij,bi->bj", A0, u)
    )
    found = SpectralTarget("jacobian", target, steps=D)(model, x).penalty
    wanted = torch.linalg.matrix_norm(jacobians(model, x) - A0, 2) ** 2
    assert_is(found, wanted, model)
    head, f = energy()
    found = SpectralTarget("hessian", target, steps=D)(f, x).penalty
    wanted = torch.linalg.matrix_norm(explicit_hessians(f, x) - A0, 2) ** 2
    assert_is(found, wanted, head)


def test_a_rectangular_jacobian_has_a_norm_but_no_transpose():
    model, (x, _) = network(), batch()
    found = SpectralTarget(steps=4)(model, x).penalty
    torch.testing.assert_close(found, torch.linalg.matrix_norm(jacobians(model, x), 2) ** 2)
    for target in ("symmetry", "diagonality"):
        with pytest.raises(ValueError, match=r"square Jacobian, outputs \(6, 5\). Found \(6, 4\)"):
            SpectralTarget("jacobian", target)(model, x)


@pytest.mark.parametrize("target", TARGETS)
def test_hutchinson_is_the_squared_frobenius_norm_in_the_mean(target):
    model, (x, _) = field(), batch()
    many = x[:1].expand(20_000, -1)
    penalty = SpectralTarget("jacobian", target, "hutchinson")
    values = penalty(model, many, generator=torch.Generator().manual_seed(0)).penalty.detach()
    N = difference(jacobians(model, x[:1])[0].detach(), target)
    A = N @ N.mT
    variance = 2 * ((A**2).sum() - (A.diagonal() ** 2).sum())
    assert abs(values.mean() - A.trace()) < 4 * (variance / len(values)) ** 0.5
    assert values.var().item() == pytest.approx(variance.item(), rel=0.05)


def test_gradient_fields_are_symmetric_and_separate_functions_diagonal():
    x, _ = batch()
    _, f = energy()

    def gradient(x):
        return torch.autograd.grad(f(x).sum(), x, create_graph=True)[0]

    assert SpectralTarget("jacobian", "symmetry")(gradient, x).penalty.max() < 1e-20
    assert SpectralTarget("jacobian", "diagonality")(torch.sin, x).penalty.max() < 1e-20
    separate = SpectralTarget("hessian", "diagonality")(lambda x: x.sin().sum(1), x)
    assert separate.penalty.max() < 1e-20


def test_diagonality_brackets_the_off_diagonal_part():
    # |A - D(A1)|_F^2 / N <= sum of squares off the diagonal <= |A - D(A1)|_F^2
    A = torch.randn(200, D, D, dtype=torch.float64)
    away = torch.linalg.matrix_norm(difference(A, "diagonality")) ** 2
    off = (A**2).sum((1, 2)) - (A.diagonal(dim1=1, dim2=2) ** 2).sum(1)
    assert (away / D <= off).all()
    assert (off <= away).all()


def test_bad_settings_and_inputs_are_refused():
    for make, message in (
        (lambda: SpectralTarget("gradient"), "one of jacobian, hessian. Found 'gradient'"),
        (lambda: SpectralTarget(target="circulant"), "one of zero, symmetry, diagonality"),
        (lambda: SpectralTarget(method="qr"), "one of lanczos, power, hutchinson"),
        (lambda: SpectralTarget(steps=0), "at least one of steps. Found 0"),
        (lambda: SpectralTarget("hessian", "symmetry"), "requires a Jacobian for symmetry"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    x, _ = batch()
    with pytest.raises(ValueError, match=r"expected per-example losses of shape \(6,\)"):
        SpectralTarget("hessian")(lambda x: x.sum(), x)
    with pytest.raises(ValueError, match="non-empty input"):
        SpectralTarget()(torch.sin, x[:0])
    mixing = torch.nn.BatchNorm1d(D).double()
    with pytest.raises(ValueError, match="BatchNorm in training mode"):
        SpectralTarget()(mixing, x)
