import math

import pytest
import torch
from penalty_oracles import D, assert_slope, batch, gradients, hessians, network, weight_gradient

from curvlab.losses import margin_cross_entropy
from curvlab.penalties import Elle, GradAlign, Llr, Soar


def seeded(penalty, model, x, y, seed=0, **options):
    return penalty(model, x, y, generator=torch.Generator().manual_seed(seed), **options).penalty


class Spy:
    """A model that remembers where it was asked."""

    def __init__(self, model):
        self.model, self.points = model, []

    def __call__(self, x):
        self.points.append(x.detach().clone())
        return self.model(x)


def values(model, x, y):
    return margin_cross_entropy(model(x), y)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_llr_is_the_error_of_the_plane_at_the_point_it_found(norm):
    model, (x, y) = network(), batch()
    spy = Spy(model)
    found = seeded(Llr(0.3, norm, steps=3, ratio=0.5), spy, x, y)
    assert len(spy.points) == 1 + 3 + 1
    d = spy.points[-1] - x
    order = 2 if norm == "l2" else torch.inf
    assert (torch.linalg.vector_norm(d, order, dim=1) <= 0.3 * (1 + 1e-12)).all()
    linear = (gradients(model, x, y) * d).sum(1)
    error = values(model, x + d, y) - values(model, x, y) - linear
    wanted = error.abs() + 0.5 * linear.abs()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))


def test_llr_finds_the_largest_error_on_a_known_quadratic():
    # error d'Hd/2 with H = diag(3, 1): the largest on the disc is 3/2 eps^2, along the first axis
    scale = torch.tensor([3.0, 1.0], dtype=torch.float64)

    def loss(z, y):
        return (scale * z**2).sum(1) / 2 + z.sum(1)

    x, y = torch.zeros(8, 2, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    for sign in (1, -1):  # the error may have either sign
        penalty = Llr(0.4, "l2", steps=200, step_size=0.05, ratio=0.0)
        signed = lambda z, y, sign=sign: sign * loss(z, y)  # noqa: E731
        found = seeded(penalty, torch.nn.Identity(), x, y, loss=signed)
        torch.testing.assert_close(found, torch.full_like(found, 0.24), rtol=1e-2, atol=0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_llr_bounds_the_change_of_the_loss_at_its_point_and_is_below_the_curvature_bound(norm):
    model, (x, y) = network("tanh"), batch()
    spy = Spy(model)
    found = seeded(Llr(0.2, norm, ratio=1.0), spy, x, y)
    change = values(model, spy.points[-1], y) - values(model, x, y)
    assert (change.abs() <= found + 1e-12).all()
    error = seeded(Llr(0.2, norm, ratio=0.0), model, x, y)
    grid = torch.linspace(0, 1, 40).double()
    path = [hessians(model, x + t * (spy.points[-1] - x), y) for t in grid]
    largest = torch.stack([torch.linalg.matrix_norm(H, 2) for H in path]).amax(0)
    radius = 0.2**2 * (D if norm == "linf" else 1)
    assert (error <= radius / 2 * largest * 1.01).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_elle_is_the_squared_error_of_interpolation(norm):
    model, (x, y) = network(), batch()
    spy = Spy(model)
    found = seeded(Elle(0.3, norm), spy, x, y)
    assert len(spy.points) == 4
    a, b, c = spy.points[1:]
    t = ((c - a) / (b - a))[:, :1]
    torch.testing.assert_close(c, (1 - t) * a + t * b)
    assert ((t > 0) & (t < 1)).all()
    t = t.squeeze(1)
    error = values(model, c, y) - (1 - t) * values(model, a, y) - t * values(model, b, y)
    torch.testing.assert_close(found, error**2)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(error**2, model))
    assert_slope(lambda: seeded(Elle(0.3, norm), model, x, y), model)
    power = 2 if norm == "l2" else torch.inf
    for point in (a, b):
        assert (torch.linalg.vector_norm(point - x, power, dim=1) <= 0.3 * (1 + 1e-12)).all()


def test_elle_of_a_quadratic_is_its_second_difference():
    # c'(b - a)^2 with the kernel t (1 - t) / 2: the loss z1^2 has the error t (1 - t) (b - a)^2
    def loss(z, y):
        return z[:, 0] ** 2

    x, y = torch.zeros(50, 2, dtype=torch.float64), torch.zeros(50, dtype=torch.int64)
    spy = Spy(torch.nn.Identity())
    found = seeded(Elle(0.5), spy, x, y, loss=loss)
    a, b, c = (point[:, 0] for point in spy.points[1:])
    t = (c - a) / (b - a)
    torch.testing.assert_close(found, (t * (1 - t) * (b - a) ** 2) ** 2)
    assert seeded(Elle(0.5), spy, x, y, loss=lambda z, y: z.sum(1)).max() < 1e-30


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("detach", [False, True])
def test_gradalign_is_one_minus_the_cosine(norm, detach):
    model, (x, y) = network(), batch()
    spy = Spy(model)
    found = seeded(GradAlign(0.3, norm, detach), spy, x, y)
    here, there = gradients(model, x, y), gradients(model, spy.points[1], y)
    here = here.detach() if detach else here
    wanted = 1 - torch.nn.functional.cosine_similarity(here, there, dim=1)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    if not detach:
        assert_slope(lambda: seeded(GradAlign(0.3, norm, detach), model, x, y), model)


def test_gradalign_sees_the_part_of_the_change_across_the_gradient():
    # 1 - cos = |P H d|^2 / (2 |g|^2) for small d
    model, (x, y) = network("tanh"), batch()
    spy = Spy(model)
    found = seeded(GradAlign(1e-4), spy, x, y)
    g, H, d = gradients(model, x, y), hessians(model, x, y), spy.points[1] - x
    change = torch.einsum("bij,bj->bi", H, d)
    unit = g / g.norm(dim=1, keepdim=True)
    across = change - (change * unit).sum(1, keepdim=True) * unit
    wanted = (across.norm(dim=1) / g.norm(dim=1)) ** 2 / 2
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=0)


def test_gradalign_has_no_scale_and_is_zero_where_it_is_not_defined():
    model, (x, y) = network(), batch()
    scaled = lambda z, y: 1e-30 * margin_cross_entropy(z, y)  # noqa: E731
    torch.testing.assert_close(
        seeded(GradAlign(0.3), model, x, y, loss=scaled), seeded(GradAlign(0.3), model, x, y)
    )
    gated = lambda z, y: torch.relu(z[:, 0] - 10) + 0 * z[:, 1]  # noqa: E731
    value = seeded(GradAlign(0.3, detach=False), model, x, y, loss=gated)
    assert (value == 0).all()
    assert weight_gradient(value, model).isfinite().all()


def augmented(model, x, y):
    g, H = gradients(model, x, y), hessians(model, x, y)
    top = torch.cat([H, g.unsqueeze(2)], 2)
    bottom = torch.cat([g, torch.ones_like(g[:, :1])], 1)
    return torch.cat([top, bottom.unsqueeze(1)], 1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_soar_with_all_lanczos_steps_is_its_definition(norm):
    model, (x, y) = network("tanh"), batch()
    radius = 0.3**2 * (D if norm == "linf" else 1)
    wanted = (radius + 1) / 2 * torch.linalg.matrix_norm(augmented(model, x, y), 2) - 0.5
    penalty = Soar(0.3, norm, "lanczos", D + 1)
    torch.testing.assert_close(seeded(penalty, model, x, y), wanted)
    assert_slope(lambda: seeded(penalty, model, x, y), model)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_soar_bounds_the_quadratic_model(norm):
    model, (x, y) = network("tanh"), batch()
    bound = seeded(Soar(0.3, norm, "lanczos", D + 1), model, x, y)
    g, H = gradients(model, x, y), hessians(model, x, y)
    d = torch.randn(3000, 1, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    d = 0.3 * (d.sign() if norm == "linf" else d / d.norm(dim=2, keepdim=True))
    rise = (g * d).sum(2) + torch.einsum("nbi,bij,nbj->nb", d, H, d) / 2
    assert (rise <= bound + 1e-12).all()


def test_one_gaussian_probe_bounds_the_norm_in_the_mean_only_with_its_factor():
    model, (x, y) = network("tanh"), batch()
    n = 40_000
    many = x[:1].expand(n, -1), y[:1].expand(n)
    found = seeded(Soar(0.3), model, *many).detach()
    A = augmented(model, x[:1], y[:1])[0].detach()
    norm = torch.linalg.matrix_norm(A, 2)
    factor = (0.09 * D + 1) / 2
    mean = (found.mean() + 0.5) / factor  # sqrt(pi / 2) E|Az|
    spread = found.std() / factor / math.sqrt(n)
    assert norm <= mean + 4 * spread
    assert mean - 4 * spread <= math.sqrt(math.pi / 2) * torch.linalg.matrix_norm(A)
    z = torch.randn(n, D + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    direct = math.sqrt(math.pi / 2) * (z @ A).norm(dim=1)
    assert abs(direct.mean() - mean) < 6 * spread


def test_without_the_factor_the_mean_can_be_below_the_norm():
    # H = 100 e e', g = 0: |A| = 100, E|Az| is near sqrt(2 / pi) of it
    def loss(z, y):
        return 50 * z[:, 0] ** 2 + 0 * z[:, 1]

    n = 20_000
    x, y = torch.zeros(n, 2, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
    found = seeded(Soar(1.0, "l2"), torch.nn.Identity(), x, y, loss=loss).detach()
    mean, slack = (found.mean() + 0.5).item(), 4 * found.std().item() / n**0.5
    assert mean + slack > 100
    assert math.sqrt(2 / math.pi) * (mean + slack) < 100
