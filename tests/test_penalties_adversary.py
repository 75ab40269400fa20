import itertools

import pytest
import torch
from penalty_oracles import (
    C,
    D,
    assert_slope,
    batch,
    gradients,
    hessians,
    network,
    weight_gradient,
)

from curvlab.penalties import KrylovAdversary, Scorpio, krylov_step
from curvlab.penalties.shared import length
from curvlab.trust_region import trust_region


def quadratic(g, H, d):
    return (g * d).sum(-1) + torch.einsum("...i,...ij,...j->...", d, H, d) / 2


def exact(g, H, epsilon):
    """The trust-region maximum from the full eigendecomposition."""
    values, vectors = torch.linalg.eigh(H)
    return trust_region(values, torch.einsum("bji,bj->bi", vectors, g), epsilon).value


def corner_maximum(g, H, epsilon):
    corners = torch.tensor(list(itertools.product((-epsilon, epsilon), repeat=D))).to(g)
    return torch.stack([quadratic(g, H, corner.expand_as(g)) for corner in corners]).amax(0)


def known(g, H):
    """A loss that is the quadratic itself, for a model that is the identity at x = 0."""
    n = len(g)
    loss = lambda z, y: quadratic(g, H, z)  # noqa: E731
    return torch.nn.Identity(), g.new_zeros(n, g.shape[1]), torch.zeros(n, dtype=torch.int64), loss


def random_quadratics(n=200, seed=0, scale=1.0):
    draw = torch.Generator().manual_seed(seed)
    g = torch.randn(n, D, dtype=torch.float64, generator=draw)
    H = torch.randn(n, D, D, dtype=torch.float64, generator=draw)
    return g, scale * (H + H.mT) / 2


def lmo(u, norm, epsilon):
    return epsilon * (u.sign() if norm == "linf" else u / u.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_scorpio_is_frank_wolfe_with_the_direction_held_fixed(norm, steps):
    model, (x, y) = network("tanh"), batch()
    g, H = gradients(model, x, y), hessians(model, x, y)
    d = lmo(g.detach(), norm, 0.5)
    for _ in range(steps - 1):
        d = lmo((g + torch.einsum("bij,bj->bi", H, d)).detach(), norm, 0.5)
    wanted = quadratic(g, H, d)
    found = Scorpio(0.5, steps, norm)(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    if norm == "linf":  # signs do not move with the weights
        assert_slope(lambda: Scorpio(0.5, steps, norm)(model, x, y).penalty, model)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_scorpio_by_differences_uses_gradients_at_attacked_points(norm):
    model, (x, y) = network("tanh"), batch()
    g, h = gradients(model, x, y), 0.3
    d = lmo(g.detach(), norm, 0.5)
    for _ in range(2):
        change = (gradients(model, x + h * d, y) - g).detach() / h
        d = lmo(g.detach() + change, norm, 0.5)
    wanted = (g * d).sum(1) + ((gradients(model, x + h * d, y) - g) * d).sum(1) / (2 * h)
    found = Scorpio(0.5, 3, norm, difference=h)(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))
    small = Scorpio(0.5, 3, norm, difference=1e-5)(model, x, y).penalty
    torch.testing.assert_close(
        small, Scorpio(0.5, 3, norm)(model, x, y).penalty, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_scorpio_never_goes_down_where_the_hessian_is_semidefinite(norm):
    model, (x, y) = network("relu"), batch(40)
    last = torch.full((40,), -torch.inf, dtype=torch.float64)
    for steps in range(1, 6):
        found = Scorpio(0.5, steps, norm)(model, x, y).penalty.detach()
        assert (found >= last - 1e-12).all()
        last = found


def test_one_full_step_is_optimal_for_rank_one_and_can_miss_in_general():
    torch.manual_seed(0)
    model = torch.nn.Linear(D, 2).double()
    x = torch.rand(6, D, dtype=torch.float64)
    y = torch.randint(2, (6,))
    g, H = gradients(model, x, y), hessians(model, x, y)
    found = Scorpio(0.5, 1, "linf")(model, x, y).penalty
    torch.testing.assert_close(found, corner_maximum(g, H, 0.5))
    g, H = random_quadratics()
    H = H @ H
    model, x, y, loss = known(0.1 * g, H)
    found = Scorpio(1.0, 20, "linf")(model, x, y, loss=loss).penalty
    best = corner_maximum(0.1 * g, H, 1.0)
    assert (found <= best + 1e-9).all()
    assert (found < 0.9 * best).any()


def test_krylov_grows_with_its_steps_to_the_exact_maximum():
    for epsilon in (0.05, 0.5, 3.0):
        g, H = random_quadratics()
        model, x, y, loss = known(g, H)
        best, last = exact(g, H, epsilon), torch.full((200,), -torch.inf, dtype=torch.float64)
        for steps in range(1, D + 1):
            found = KrylovAdversary(epsilon, steps)(model, x, y, loss=loss).penalty.detach()
            assert (found >= last - 1e-11 * best).all()
            assert (found <= best * (1 + 1e-11)).all()
            last = found
        torch.testing.assert_close(last, best, rtol=1e-9, atol=0)


def test_krylov_is_exact_on_rectifiers_after_as_many_steps_as_classes():
    model, (x, y) = network("relu", sizes=(D, 8, 3)), batch(20)
    y = y.clamp(max=2)
    found = KrylovAdversary(0.7, 3)(model, x, y).penalty
    best = exact(gradients(model, x, y), hessians(model, x, y), 0.7)
    torch.testing.assert_close(found, best.detach(), rtol=1e-8, atol=0)


def test_krylovs_derivative_is_that_of_the_maximum():
    model, (x, y) = network("tanh"), batch()
    penalty = KrylovAdversary(0.5, D)
    assert_slope(lambda: penalty(model, x, y).penalty, model)
    g, H = gradients(model, x, y), hessians(model, x, y)
    product = lambda v: torch.einsum("bij,bj->bi", H.detach(), v)  # noqa: E731
    d = krylov_step(product, g.detach(), 0.5, D).vector
    wanted = quadratic(g, H, d)
    found = penalty(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))


def test_one_krylov_step_is_curvature_along_the_gradient():
    g, H = random_quadratics()
    size = g.norm(dim=1)
    along = quadratic(torch.zeros_like(g), H, g / size.unsqueeze(1)) * 2
    for epsilon in (0.1, 2.0):
        model, x, y, loss = known(g, H)
        found = KrylovAdversary(epsilon, 1)(model, x, y, loss=loss).penalty
        inside = (along < 0) & (size < -along * epsilon)
        edge = epsilon * size + epsilon**2 / 2 * along
        wanted = torch.where(inside, -(size**2) / (2 * along), edge)
        assert inside.any() == (epsilon == 2.0)
        torch.testing.assert_close(found, wanted)


def test_the_expansion_in_epsilon_names_gradient_curvature_and_alignment():
    g, H = random_quadratics()
    size = g.norm(dim=1)
    unit = g / size.unsqueeze(1)
    Hu = torch.einsum("bij,bj->bi", H, unit)
    across = Hu - (Hu * unit).sum(1, keepdim=True) * unit
    third = (across**2).sum(1) / (2 * size)
    model, x, y, loss = known(g, H)

    def rest(epsilon, steps):
        found = KrylovAdversary(epsilon, steps)(model, x, y, loss=loss).penalty
        return found - epsilon * size - epsilon**2 / 2 * (Hu * unit).sum(1)

    for steps in (2, 3, D):
        early, late = (((rest(e, steps) / e**3 - third) / e).abs() for e in (1e-3, 5e-4))
        # the remainder is of fourth order: its coefficient settles
        torch.testing.assert_close(early, late, rtol=0.2, atol=0.05)
    assert rest(1e-3, 1).abs().max() < 1e-15 * 1e3
    epsilon = 1e-4
    moved = g + epsilon * Hu
    cosine = (moved * g).sum(1) / moved.norm(dim=1) / size
    align = epsilon * size * (1 - cosine)
    torch.testing.assert_close(epsilon**3 * third, align, rtol=1e-2, atol=1e-15)


def test_the_krylov_space_of_the_gradient_can_miss_the_top_eigenvector():
    # logits (1 + x2, 5 x1, -5 x1) at 0: the gradient is along x2, the top eigenvector along x1
    W = torch.tensor([[0.0, 1.0], [5.0, 0.0], [-5.0, 0.0]], dtype=torch.float64)
    model = torch.nn.Linear(2, 3).double()
    model.weight.data, model.bias.data = W, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    H = hessians(model, x, y)[0]
    assert torch.linalg.eigvalsh(H)[-1].item() == pytest.approx(10.60, abs=0.01)
    assert H[1, 1].item() == pytest.approx(0.244, abs=0.001)
    found = KrylovAdversary(1.0, 2)(model, x, y).penalty
    best = exact(gradients(model, x, y), H.unsqueeze(0), 1.0)
    assert found.item() < 0.2 * best.item()


def test_a_vanished_gradient_leaves_the_hessians_own_maximum():
    _, H = random_quadratics(20)
    model, x, y, loss = known(torch.zeros(20, D, dtype=torch.float64), H)
    found = KrylovAdversary(0.5, D)(model, x, y, loss=loss).penalty
    top = torch.linalg.eigvalsh(H)[:, -1].clamp(min=0)
    torch.testing.assert_close(found, 0.125 * top)


def test_large_budgets_see_the_hessian_alone():
    model, (x, y) = network("relu"), batch()
    found = KrylovAdversary(1e4, C)(model, x, y).penalty
    top = torch.linalg.matrix_norm(hessians(model, x, y), 2)
    torch.testing.assert_close(found, 0.5e8 * top, rtol=1e-2, atol=0)


def test_confident_examples_keep_their_digits_in_float32():
    model, (x, y) = network("tanh"), batch()
    y = model(x).argmax(1)
    model[-1].weight.data *= 20  # losses down to 1e-30
    model[-1].bias.data *= 20
    wanted = KrylovAdversary(0.1, 3)(model, x, y).penalty
    assert wanted.min() < 1e-9
    found = KrylovAdversary(0.1, 3)(model.float(), x.float(), y).penalty
    torch.testing.assert_close(found.double(), wanted, rtol=2e-3, atol=0)


@pytest.mark.parametrize("semidefinite", [True, False])
def test_the_box_form_comes_closer_to_the_best_corner_than_frank_wolfe_from_zero(semidefinite):
    g, H = random_quadratics(400)
    H = H @ H if semidefinite else H
    for scale in (0.1, 1.0):
        model, x, y, loss = known(g, scale * H)
        best = corner_maximum(g, scale * H, 1.0)
        plain = Scorpio(1.0, 5, "linf")(model, x, y, loss=loss).penalty  # as many products
        found = KrylovAdversary(1.0, 3, "linf")(model, x, y, loss=loss).penalty
        assert (found <= best * (1 + 1e-9)).all()
        assert (found / best).mean() > (plain / best).mean()
        assert (found / best).mean() > 0.9


def test_more_corners_never_go_down_even_where_the_hessian_is_indefinite():
    g, H = random_quadratics(400)
    model, x, y, loss = known(g, H)
    last = torch.full((400,), -torch.inf, dtype=torch.float64)
    for corners in range(1, 6):
        # with all steps the shift is exact
        penalty = KrylovAdversary(1.0, D, "linf", corners)
        found = penalty(model, x, y, loss=loss).penalty.detach()
        assert (found >= last - 1e-10).all()
        last = found


def test_the_box_form_is_a_corner_held_fixed():
    model, (x, y) = network("tanh"), batch()
    g, H = gradients(model, x, y), hessians(model, x, y)
    product = lambda v: torch.einsum("bij,bj->bi", H.detach(), v)  # noqa: E731
    around = krylov_step(product, g.detach(), 0.3 * D**0.5, 3)
    d, shift = around.vector.clamp(-0.3, 0.3), (-around.lowest).clamp(min=0).unsqueeze(1)
    assert (shift > 0).any()
    d = 0.3 * (g.detach() + product(d) + shift * d).sign()
    wanted = quadratic(g, H, d)
    found = KrylovAdversary(0.3, 3, "linf")(model, x, y).penalty
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weight_gradient(found, model), weight_gradient(wanted, model))


@pytest.mark.parametrize("penalty", [Scorpio(0.1), Scorpio(0.1, 3, "linf"), KrylovAdversary(0.1)])
def test_a_linear_score_leaves_its_gradient(penalty):
    model = torch.nn.Linear(3, 2).double()
    x, y = torch.rand(4, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0])

    def loss(z, y):
        return z.gather(1, y.unsqueeze(1)).squeeze(1)

    found = penalty(model, x, y, loss=loss).penalty
    rows = model.weight[y]
    size = rows.abs().sum(1) if penalty.norm == "linf" else length(rows)
    torch.testing.assert_close(found, 0.1 * size)
