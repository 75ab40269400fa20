"""The experiment on curvature bounds: the bound against explicit Hessians, and a run's rows."""

import curvature_bound
import pytest
import torch

from curvlab.bounds import network_constants
from curvlab.data import Examples
from curvlab.networks import MLP

SIZES = {"one": (6, 5, 10), "two": (6, 5, 5, 10)}


def network(sizes):
    torch.manual_seed(3)
    model = MLP(sizes, "softplus", beta=curvature_bound.BETA).double()
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(2)
    return model


def explicit(model):
    """The theorem's matrix for class 3 over each other class, by its formula."""
    first, last = model[1].weight, model[-1].weight
    others = [j for j in range(10) if j != 3]
    return torch.stack([
        first.T @ torch.diag(curvature_bound.BETA / 4 * (last[j] - last[3]).clamp(min=0)) @ first
        for j in others
    ])


def test_one_hidden_layer_has_the_value_and_slope_of_the_theorems_matrix():
    model = network(SIZES["one"])
    weights = [model[1].weight, model[-1].weight]
    ours, theirs = curvature_bound.bend(model, 3), torch.linalg.eigvalsh(explicit(model))[:, -1]
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(*(torch.autograd.grad(v.sum(), weights) for v in (ours, theirs)),
                           strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("depth", SIZES)
def test_no_margin_bends_further_and_the_final_constants_are_tighter(depth):
    model = network(SIZES[depth])
    bound, constants = curvature_bound.bend(model, 3), network_constants(model, torch.Size((6,)))
    others = [j for j in range(10) if j != 3]
    # the final constants are rounded up
    assert (constants.curvature[3, others] <= bound * (1 + 1e-8)).all()
    x = torch.randn(200, 6, dtype=torch.float64)

    def margins(one):
        logits = model(one[None])[0]
        return logits[3] - logits[others]

    hessians = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(margins)))(x)
    assert (-torch.linalg.eigvalsh(hessians)[..., 0] <= bound + 1e-9).all()


def test_two_hidden_layers_have_the_value_and_slope_of_the_norms():
    model = network(SIZES["two"])
    first, second, last = (layer.weight for layer in model if hasattr(layer, "weight"))
    norms = [torch.linalg.matrix_norm(weight, 2) for weight in (first, second)]
    wanted = []
    for j in range(10):
        if j != 3:
            v = last[3] - last[j]
            down = max(0.0, *(-v).tolist())
            outer = down * (norms[0] * norms[1]) ** 2
            wanted.append(2 * (outer + v.norm() * norms[1] * norms[0] ** 2))
    ours, theirs = curvature_bound.bend(model, 3), torch.stack(wanted)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(*(torch.autograd.grad(b.sum(), [first, second]) for b in (ours, theirs)),
                           strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(("weight", "bias"), [(0.1, 5.0), (10.0, -10.0)])
def test_four_fifths_of_either_term_of_the_bound_is_not_one(weight, bias):
    """A weak second layer bends where the first one does, a strong one by itself."""
    model = MLP((1, 1, 1, 2), "softplus", beta=curvature_bound.BETA).double()
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.fill_(1)
                layer.bias.zero_()
        model[-1].weight[0] = -1
        model[3].weight.fill_(weight)
        model[3].bias.fill_(bias)
    x = torch.linspace(-1, 2, 3001, dtype=torch.float64)

    def margin(one):
        logits = model(one[None, None])[0]
        return logits[0] - logits[1]

    second = torch.func.vmap(torch.func.grad(torch.func.grad(margin)))(x)
    (bound,) = curvature_bound.bend(model, 0)
    assert 0.8 * bound < -second.min() <= bound


def test_the_penalty_is_one_number_for_all_images_and_draws_its_class():
    model, x = network(SIZES["one"]), torch.randn(4, 6, dtype=torch.float64)
    drawn = set()
    for seed in range(20):
        terms = curvature_bound.CurvatureBound()(
            model, x, torch.arange(4), generator=torch.Generator().manual_seed(seed))
        assert terms.penalty.shape == terms.loss.shape == (4,)
        assert len(set(terms.penalty.tolist())) == 1
        drawn.add(terms.penalty[0].item())
    means = {curvature_bound.bend(model, c).mean().item() for c in range(10)}
    assert len(drawn) > 4
    assert all(any(abs(d - m) < 1e-9 for m in means) for d in drawn)


def test_an_interval_is_that_of_paired_bits():
    mine, other = torch.tensor([1, 1, 1, 0]).bool(), torch.tensor([0, 1, 0, 1]).bool()
    middle, low, high = curvature_bound.difference(mine, other)
    assert middle == pytest.approx(0.25)
    spread = 1.96 * torch.tensor([1.0, 0, 1, -1]).std().item() / 2
    assert (low, high) == pytest.approx((0.25 - spread, 0.25 + spread))


def test_a_run_has_one_row_a_gamma_and_a_strong_penalty_lowers_the_bound(monkeypatch):
    monkeypatch.setattr(curvature_bound, "GAMMAS", (0.0, 0.1))
    draw = torch.Generator().manual_seed(0)
    images = Examples(torch.rand(64, 1, 28, 28, generator=draw), torch.arange(64) % 10)
    rows = list(curvature_bound.run("784-64-10", 1, images, Examples(*(e[:20] for e in images)), 2))
    assert [row["value_varied"] for row in rows] == [0.0, 0.1]
    assert rows[1]["bound"] < rows[0]["bound"]
    for row in rows:
        assert row["certified"] <= row["pgd"] <= row["clean"]
        assert max(row["certified_lipschitz"], row["certified_curvature"]) <= row["certified"]
        assert row["clean_whole"] == row["clean"]
    assert rows[0]["certified_rise"] == rows[0]["clean_rise"] == 0
