"""Network constants and certificates: hunted by dense matrices, strong attacks and tight cases."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from curvlab.attacks import fools, minimal_norm
from curvlab.bounds import (
    activation_ranges,
    certify,
    dual_radius,
    local_lipschitz_radius,
    network_constants,
)
from curvlab.bounds.constants import UP, read_layers, slope_range
from curvlab.networks import MLP, SmallCNN, Softplus, activation_layer, he_init

SMOOTH = ("softplus", "tanh", "sigmoid", "elu", "gelu", "silu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(activation, sizes, seed, gain=1.0):
    """A random network in float64 whose biases put the kinks and bends off the origin."""
    model, draw = MLP(sizes, activation, beta=3.0), seeded(seed)
    he_init(model, draw)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data *= gain
            nn.init.normal_(layer.bias, std=0.5, generator=draw)
    return model.double().requires_grad_(False)


def points(number, size, seed):
    return torch.randn(number, size, dtype=torch.float64, generator=seeded(1000 + seed))


def margin_hessian(model, x, y, j):
    return torch.autograd.functional.hessian(
        lambda z: (lambda f: f[y] - f[j])(model(z.unsqueeze(0))[0]), x
    )


# -- activations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SMOOTH, "relu"])
def test_activation_ranges_are_sharp(name):
    """Against autograd on a fine grid: never exceeded, and reached."""
    layer, known = (
        activation_layer(name, beta=3.0),
        activation_ranges(activation_layer(name, beta=3.0)),
    )
    z = torch.linspace(-12, 12, 240_001, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(layer(z).sum(), z, create_graph=True)
    assert torch.allclose(slope.detach(), known.derivative(z.detach()), atol=1e-9)
    assert layer(torch.zeros(1)).item() == pytest.approx(known.offset)
    ranges = [(slope, known.slope)]
    if name == "relu":
        assert known.curvature == (0, math.inf)
    else:
        (second,) = torch.autograd.grad(slope.sum(), z)
        ranges.append((second, known.curvature))
    for values, (low, high) in ranges:
        assert low - 1e-12 <= values.min() <= low + 2e-4
        assert high - 2e-4 <= values.max() <= high + 1e-12


@pytest.mark.parametrize("name", [*SMOOTH, "relu"])
def test_slope_range_on_intervals(name):
    known, draw = activation_ranges(activation_layer(name, beta=3.0)), seeded()
    ends = 3 * torch.randn(200, 2, dtype=torch.float64, generator=draw).sort(1).values
    low, high = slope_range(known, ends[:, 0], ends[:, 1])
    parts = torch.linspace(0, 1, 401, dtype=torch.float64)
    seen = known.derivative(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * parts)
    assert (low <= seen.amin(1) + 1e-9).all()
    assert (high >= seen.amax(1) - 1e-9).all()
    assert (low >= seen.amin(1) - 1e-2).all()
    assert (high <= seen.amax(1) + 1e-2).all()


# -- layers ----------------------------------------------------------------------------------------


def stacks():
    pool = nn.AvgPool2d
    return {
        "linear": ((7,), [nn.Linear(7, 5)]),
        "wide": ((3,), [nn.Linear(3, 8)]),
        "conv": ((2, 6, 6), [nn.Conv2d(2, 3, 3)]),
        "padded": ((2, 6, 6), [nn.Conv2d(2, 3, 3, padding=1)]),
        "strided": ((1, 7, 7), [nn.Conv2d(1, 3, 3, stride=2)]),
        "pool-conv": ((2, 7, 7), [pool(2), nn.Conv2d(2, 3, 2)]),
        "pool-flatten-linear": ((2, 5, 5), [pool(2), nn.Flatten(), nn.Linear(8, 5)]),
    }


@pytest.mark.parametrize("name", stacks())
def test_affine_maps_against_dense_matrices(name):
    shape, layers = stacks()[name]
    torch.manual_seed(3)
    flat = [] if any(isinstance(layer, nn.Linear) for layer in layers) else [nn.Flatten()]
    size = nn.Sequential(*layers, *flat)(torch.zeros(1, *shape)).shape[1]
    whole = nn.Sequential(*layers, nn.ReLU(), *flat, nn.Linear(size, 2)).double()
    affine = read_layers(whole, torch.Size(shape)).affine[0]
    inputs = math.prod(shape)
    basis = torch.eye(inputs, dtype=torch.float64).view(inputs, *shape)
    A = affine.push(basis).flatten(1).T.detach()
    exact = float(torch.linalg.matrix_norm(A, 2))
    looseness = {"conv": 1.5, "padded": 1.5, "strided": 3.0, "pool-conv": 1.5}.get(name, 1 + 1e-8)
    assert exact <= affine.norm() <= looseness * exact
    longest = float(A.norm(dim=1).max())
    assert longest <= affine.longest_row() <= longest * (1 + 1e-8)
    x = torch.randn(4, *shape, dtype=torch.float64, generator=seeded())
    stacked = nn.Sequential(*layers).double()
    expected = stacked(x).flatten(1).detach()
    assert torch.allclose(affine.push(x, bias=True).flatten(1), expected)
    u = torch.rand(4, len(A), dtype=torch.float64, generator=seeded(1))
    for power in (1, 2):
        assert torch.allclose(affine.pull(u, power).flatten(1), u @ A.abs() ** power)
        assert torch.allclose(affine.push(x, power).flatten(1), x.flatten(1) @ (A.abs() ** power).T)
    assert torch.allclose(affine.pull(u).flatten(1), u @ A)
    weighted = torch.linalg.matrix_norm(u.sqrt().unsqueeze(2) * A, 2) ** 2
    found = affine.weighted_norm(u)
    assert (weighted <= found).all()
    if looseness < 1.1:
        assert (found <= weighted * (1 + 1e-8)).all()


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_rounding_bound_covers_the_logits_error(name):
    """Against 80-bit arithmetic; the bound is far above the error and far below a margin."""
    model, x = network(name, (20, 30, 30, 5), 0), points(50, 20, 0)
    a = x.numpy().astype(np.longdouble)
    for layer in model:
        if isinstance(layer, nn.Linear):
            W, b = (part.numpy().astype(np.longdouble) for part in (layer.weight, layer.bias))
            a = a @ W.T + b
        elif name == "tanh" and isinstance(layer, nn.Tanh):
            a = np.tanh(a)
        elif isinstance(layer, nn.Sigmoid):
            a = 1 / (1 + np.exp(-a))
        elif isinstance(layer, Softplus):
            a = np.logaddexp(0, 3 * a) / 3
    error = np.abs(model(x).numpy().astype(np.longdouble) - a)
    bound = read_layers(model, x.shape[1:]).rounding(x).numpy()
    assert (error <= bound).all()
    assert bound.max() < 1e-6


# -- constants -------------------------------------------------------------------------------------


seeds = st.integers(0, 10**6)
depths = st.lists(st.integers(1, 9), min_size=1, max_size=3)
gains = st.floats(0.3, 3)


@given(st.sampled_from(SMOOTH), st.integers(1, 4), depths, seeds, gains)
@settings(deadline=None, max_examples=120)
def test_constants_hold_at_many_points(activation, inputs, hidden, seed, gain):
    """Dense Hessians, and one-sided; slopes of margins; centred Jacobians."""
    model = network(activation, (inputs, *hidden, 3), seed, gain)
    constants = network_constants(model, torch.Size((inputs,)))
    x = 2 * points(20, inputs, seed)
    rounding = 1e-13 * (1 + constants.curvature.max())  # of the dense Hessians
    for y, j in ((0, 1), (1, 0), (2, 0)):
        gradient = torch.func.grad(lambda z, y=y, j=j: model(z[None])[0, y] - model(z[None])[0, j])
        spectra = torch.linalg.eigvalsh(torch.func.vmap(torch.func.jacrev(gradient))(x))
        assert (-spectra[:, 0] <= constants.curvature[y, j] + rounding).all()
        assert (spectra[:, -1] <= constants.curvature[j, y] + rounding).all()
        assert (torch.func.vmap(gradient)(x).norm(dim=1) <= constants.lipschitz[y, j]).all()
    jacobians = torch.func.vmap(torch.func.jacrev(lambda z: model(z[None])[0]))(x)
    centred = jacobians - jacobians.mean(1, keepdim=True)
    assert (torch.linalg.matrix_norm(centred, 2) <= constants.logits).all()


@pytest.mark.parametrize("activation", ["softplus", "tanh"])
def test_constants_of_convolutional_networks(activation):
    for seed in range(3):
        model = SmallCNN((1, 12, 12), 3, activation, beta=3.0, width=8)
        he_init(model, seeded(seed))
        model = model.double().requires_grad_(False)
        constants = network_constants(model, torch.Size((1, 12, 12)))
        x = torch.rand(4, 1, 12, 12, dtype=torch.float64, generator=seeded(seed))
        for one in x:
            spectrum = torch.linalg.eigvalsh(margin_hessian(model, one, 0, 1).reshape(144, 144))
            assert -spectrum[0] <= constants.curvature[0, 1]
            assert spectrum[-1] <= constants.curvature[1, 0]


@pytest.mark.parametrize("activation", ["softplus", "tanh", "sigmoid", "elu"])
def test_curvature_of_one_unit_is_attained(activation):
    """Half of it would be violated: `|w|^2 max |sigma''|`, on the side where it occurs."""
    model = network(activation, (3, 1, 2), 5)
    constants = network_constants(model, torch.Size((3,)))
    w, b = model[1].weight[0], model[1].bias[0]
    known = activation_ranges(model[2])
    z = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    second = torch.autograd.functional.jvp(known.derivative, z, torch.ones_like(z))[1]
    v = float(model[3].weight[0, 0] - model[3].weight[1, 0])
    for sign in (1, -1):
        at = z[(sign * v * second).argmin()]
        x = (at - b) / w.square().sum() * w
        lowest = torch.linalg.eigvalsh(margin_hessian(model, x, *((0, 1) if sign > 0 else (1, 0))))[
            0
        ]
        bound = constants.curvature[(0, 1) if sign > 0 else (1, 0)]
        assert float(-lowest) == pytest.approx(float(bound), rel=1e-3, abs=1e-8)


def chain(first, second, weights, biases):
    """A network with two hidden layers, weights and biases given; the second logit is zero."""
    sizes = (1, len(weights[0]), len(weights[1]))
    model = nn.Sequential(
        nn.Linear(1, sizes[1]), first, nn.Linear(sizes[1], sizes[2]), second, nn.Linear(sizes[2], 2)
    ).double()
    rows = (*weights[:2], [*weights[2], [0.0] * sizes[2]])
    for layer, weight, bias in zip(model[::2], rows, (*biases, [0.0, 0.0]), strict=True):
        layer.weight.data = torch.tensor(weight, dtype=torch.float64)
        layer.bias.data = torch.tensor(bias, dtype=torch.float64)
    return model.requires_grad_(False)


@pytest.mark.parametrize("bent", ["first", "second"])
def test_the_term_of_each_layer_is_attained(bent):
    """With the other activation almost affine, one layer's bend is all the curvature there is."""
    affine, weights = Softplus(1e-4), ([[1.5]], [[2.0]], [[3.0]])
    if bent == "first":
        model = chain(nn.Tanh(), affine, weights, ([0.0], [1e6]))
        expected = 3 * 2 * 1.5**2
    else:
        model = chain(affine, nn.Tanh(), weights, ([1e6], [-2e6]))
        expected = 3 * (2 * 1.5) ** 2
    expected *= 4 / (3 * math.sqrt(3))
    bound = network_constants(model, torch.Size((1,))).curvature[0, 1].item()
    x = torch.linspace(-1, 1, 801, dtype=torch.float64)
    lowest = min(float(margin_hessian(model, point.view(1), 0, 1)) for point in x)
    assert -lowest <= bound <= -lowest * 1.001
    assert bound == pytest.approx(expected, rel=1e-3)


def test_opposite_weights_do_not_cancel():
    """One unit on and one off: the gradient at the first layer is not the sum of both."""
    model = chain(nn.Tanh(), Softplus(3.0), ([[1.0]], [[1.0], [-1.0]], [[1.0, 1.0]]), (
        [0.0], [50.0, -50.0]))  # fmt: skip
    bound = network_constants(model, torch.Size((1,))).curvature[0, 1]
    seen = -margin_hessian(model, torch.tensor([0.6585], dtype=torch.float64), 0, 1)
    assert seen.item() == pytest.approx(4 / (3 * math.sqrt(3)), rel=1e-6)
    assert seen <= bound


def test_curvature_is_one_sided():
    """A margin that is a sum of softpluses is convex: nothing bends it down."""
    model = network("softplus", (4, 6, 2), 0)
    model[3].weight.data = torch.stack([torch.rand(6), torch.zeros(6)]).double()
    K = network_constants(model, torch.Size((4,))).curvature
    assert K[0, 1] == 0
    assert K[1, 0] > 0.1


def test_constants_of_affine_maps_and_rectifiers():
    affine = network_constants(MLP((5, 3)), torch.Size((5,)))
    assert (affine.curvature == 0).all()
    model = network("relu", (5, 8, 3), 0)
    constants = network_constants(model, torch.Size((5,)))
    off = ~torch.eye(3, dtype=torch.bool)
    assert (constants.curvature[off] == math.inf).all()
    assert constants.lipschitz[off].isfinite().all()
    assert (certify(model, points(4, 5, 0), torch.zeros(4, dtype=torch.int64)).curvature == 0).all()


def test_norms_are_never_below_the_largest_singular_value():
    """Clustered singular values, where a power iteration stops short."""
    Q = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64, generator=seeded())).Q
    model = nn.Sequential(nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 2)).double()
    model[0].weight.data = Q * torch.linspace(1, 1 + 1e-7, 40, dtype=torch.float64)
    norm = read_layers(model, torch.Size((40,))).affine[0].norm()
    assert 1 + 1e-7 <= norm <= (1 + 1.01e-7) * UP


# -- certificates ----------------------------------------------------------------------------------


HUNTED = [
    (activation, sizes, seed)
    for activation in (*SMOOTH, "relu")
    for sizes in ((3, 8, 4), (5, 8, 6, 3))
    for seed in range(2)
]


@pytest.mark.parametrize("gain", [0.7, 1.5])
def test_no_attack_finds_a_violation(gain):
    """Targeted bisection attacks with restarts in float64, no box, on 28 networks each."""
    tried, gained, beaten = 0, [], 0
    for activation, sizes, seed in HUNTED:
        model, x = network(activation, sizes, seed, gain), points(8, sizes[0], seed)
        y = model(x).argmax(1)
        y[0] = (y[0] + 1) % sizes[-1]
        constants = network_constants(model, x.shape[1:])
        found = certify(model, x, y, constants)
        certified = [found.lipschitz, found.curvature, found.combined]
        if len(sizes) == 3:
            local = local_lipschitz_radius(model, x, y, constants)
            assert (local >= found.lipschitz * (1 - 1e-6)).all()
            certified.append(local)
        if activation != "relu":
            dual = dual_radius(model, x, y, constants, outer=8, inner=15)
            assert (dual >= found.curvature * (1 - 1e-8)).all()
            gained.append(dual[1:] / found.curvature[1:])
            certified.append(dual)
        radius = torch.stack(certified).amax(0)
        attack = minimal_norm(
            model, x, y, box=None, targeted=True, steps=15, rounds=8, generator=seeded(seed)
        )
        assert (attack.distance >= radius).all()
        assert radius[0] == attack.distance[0] == found.attack[0] == 0
        tried += int((radius > 0).sum())
        assert (
            found.combined >= torch.maximum(found.lipschitz, found.curvature) * (1 - 1e-8)
        ).all()
        assert (found.attack >= radius).all()
        beaten += int((attack.distance < 1.3 * radius)[1:].sum())
    assert tried > 150
    assert torch.cat(gained).median() > 1.02
    assert beaten > 30  # the attacks come close: radii a third larger would have been caught


@given(st.sampled_from((*SMOOTH, "relu")), st.integers(1, 5), depths, seeds, gains)
@settings(deadline=None, max_examples=60)
def test_certificates_of_any_network_hold(activation, inputs, hidden, seed, gain):
    """In order, and beyond the reach of a targeted attack from several starts."""
    model, x = network(activation, (inputs, *hidden, 3), seed, gain), points(6, inputs, seed)
    y = model(x).argmax(1)
    constants = network_constants(model, x.shape[1:])
    found = certify(model, x, y, constants)
    slack = 1 - 1e-6
    assert (found.combined >= torch.maximum(found.lipschitz, found.curvature) * slack).all()
    sound = [found.combined]
    if len(hidden) == 1:
        sound.append(local_lipschitz_radius(model, x, y, constants))
        assert (sound[-1] >= found.lipschitz * slack).all()
    if activation != "relu":
        sound.append(dual_radius(model, x, y, constants, outer=6, inner=10))
        assert (sound[-1] >= found.curvature * slack).all()
    radius = torch.stack(sound).amax(0)
    attack = minimal_norm(
        model, x, y, box=None, targeted=True, steps=10, rounds=6, generator=seeded(seed)
    )
    assert (attack.distance >= radius).all()
    assert (found.attack >= radius).all()


def test_attack_radius_reaches_another_class():
    """The promised point is misclassified or tied, for every example that has a promise."""
    promised = 0
    for activation, sizes, seed in HUNTED:
        model, x = network(activation, sizes, seed, 0.5), points(12, sizes[0], seed)
        logits = model(x)
        y, j = logits.topk(2, dim=1).indices.T
        found = certify(model, x, y)
        jacobian = torch.func.vmap(torch.func.jacrev(lambda z, f=model: f(z[None])[0]))(x)
        rows = torch.arange(12)
        for target in range(sizes[-1]):
            away = jacobian[rows, target] - jacobian[rows, y]
            step = nn.functional.normalize(away, dim=1)
            other = (target != y) & found.attack.isfinite()
            moved = x + found.attack.nan_to_num(posinf=0).unsqueeze(1) * step
            if target == 0:
                fooled = torch.zeros(12, dtype=torch.bool)
            fooled |= fools(model(moved), y) & other
        assert fooled[found.attack.isfinite()].all()
        promised += int(found.attack.isfinite().sum())
        assert (j != y).all()
    assert promised > 50


def test_affine_networks_are_certified_exactly():
    model, x = MLP((6, 4)).double().requires_grad_(False), points(30, 6, 0)
    y, W = model(x).argmax(1), model[1].weight
    margin = (model(x).gather(1, y[:, None]) - model(x)) / (W[y].unsqueeze(1) - W).norm(dim=2)
    exact = margin.scatter(1, y[:, None], math.inf).amin(1)
    found = certify(model, x, y)
    for radius in found[:3]:
        assert (radius < exact).all()
        assert (radius > exact * (1 - 1e-5)).all()
    assert ((found.attack >= exact) & (found.attack < exact * (1 + 1e-5))).all()
    dual = dual_radius(model, x, y)
    assert ((dual < exact) & (dual > exact * (1 - 1e-5))).all()


def test_the_curvature_radius_is_tight_at_an_even_peak():
    """A margin with zero slope and the largest curvature there is: halving K would be caught."""
    beta, peak = 3.0, 1e-4
    model = nn.Sequential(nn.Linear(1, 2), Softplus(beta), nn.Linear(2, 2)).double()
    model[0].weight.data, model[0].bias.data = (
        torch.tensor([[1.0], [-1.0]]).double(),
        torch.zeros(2),
    )
    model[0].bias.data = model[0].bias.data.double()
    model[2].weight.data = torch.tensor([[-1.0, -1.0], [0.0, 0.0]]).double()
    model[2].bias.data = torch.tensor([2 * math.log(2) / beta + peak, 0.0]).double()
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.tensor([0])
    K = beta / 2
    radius = certify(model, x, y).curvature.item()
    true = minimal_norm(model, x, y, box=None, rounds=40).distance.item()
    assert true * 0.99 < radius < true
    assert math.sqrt(2 * peak / (K / 2)) > true


def test_the_dual_sees_the_cliff_behind_it():
    """The margin slopes gently to the right and falls steeply on the left, where no search goes.

    The bend upward is far away and small: as a bound on the multiplier it would let the search
    trust the gentle side alone.
    """
    model = nn.Sequential(nn.Linear(1, 3), Softplus(3.0), nn.Linear(3, 2)).double()
    for layer, weight, bias in (
        (model[0], [[-1.0], [1.0], [1.0]], [-2.0, 0.0, -30.0]),
        (model[2], [[-50.0, -0.4, 0.4], [0.0, 0.0, 0.0]], [2.0, 0.0]),
    ):
        layer.weight.data = torch.tensor(weight, dtype=torch.float64)
        layer.bias.data = torch.tensor(bias, dtype=torch.float64)
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.tensor([0])
    line = torch.linspace(-4, 12, 16_001, dtype=torch.float64)
    scores = model(line.unsqueeze(1))
    lost = line[scores[:, 0] <= scores[:, 1]]
    assert lost[lost > 0].min() > 3 * lost.abs().min()
    assert 0 < dual_radius(model, x, y) < lost.abs().min()


def test_local_radius_needs_its_cap():
    """On this network the plain local bound is smaller than m / L."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    for layer, weight, bias in (
        (model[0], torch.eye(2), torch.tensor([0.0, 0.5])),
        (
            model[2],
            torch.tensor([[1.0, 1.0], [0.0, 0.0]]),
            torch.tensor([0.725 - math.tanh(0.5), 0.0]),
        ),
    ):
        layer.weight.data, layer.bias.data = weight.double(), bias.double()
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    local = local_lipschitz_radius(model, x, y)
    assert local >= certify(model, x, y).lipschitz
    assert local >= 0.725 / math.sqrt(2) * (1 - 1e-6)
    assert local <= minimal_norm(model, x, y, box=None, rounds=30).distance


def test_the_local_bound_is_a_bound_on_the_ball():
    """On saturated tanh units it certifies more than L does."""
    model = network("tanh", (4, 12, 3), 1, gain=3.0)
    x = points(40, 4, 3)
    y = model(x).argmax(1)
    local, plain = local_lipschitz_radius(model, x, y), certify(model, x, y).lipschitz
    assert (local / plain).max() > 1.05


def test_certificates_on_a_convolutional_network():
    model = SmallCNN((1, 12, 12), 3, "tanh", width=8)
    he_init(model, seeded())
    model = model.double().requires_grad_(False)
    x = torch.rand(6, 1, 12, 12, dtype=torch.float64, generator=seeded())
    y = model(x).argmax(1)
    found, dual = certify(model, x, y), dual_radius(model, x, y, outer=5, inner=10)
    attack = minimal_norm(model, x, y, targeted=True, rounds=8, steps=15, generator=seeded())
    assert (found.combined > 0).all()
    assert (torch.maximum(found.combined, dual) <= attack.distance).all()


def test_examples_and_precision_do_not_matter():
    model, x = network("tanh", (5, 8, 3), 0), points(6, 5, 0)
    y = model(x).argmax(1)
    together, state = certify(model, x, y), copy.deepcopy(model.state_dict())
    for i in range(6):
        alone = certify(model, x[i : i + 1], y[i : i + 1])
        assert all(torch.allclose(a[i : i + 1], b) for a, b in zip(together, alone, strict=True))
    single = model.float()
    assert certify(single, x.float(), y).combined.dtype == torch.float64
    assert torch.allclose(certify(single, x.float(), y).combined, together.combined, rtol=1e-4)
    assert next(single.parameters()).dtype == torch.float32  # the caller's network is untouched
    assert set(state) == set(single.state_dict())


X, Y = torch.zeros(2, 4), torch.tensor([0, 1])
TANH, DEEP = MLP((4, 3, 3), "tanh"), MLP((4, 3, 3, 3), "tanh")


class Doubled(nn.Module):
    def forward(self, z):
        return 2 * z


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: certify(TANH, X, Y + 2), "labels from 0 to 2. Found 2 to 3"),
        (lambda: certify(TANH, X / 0, Y), "finite input"),
        (lambda: certify(TANH, X[:0], Y[:0]), "non-empty input"),
        (lambda: local_lipschitz_radius(DEEP, X, Y), "one hidden layer, fully connected. Found 2"),
        (lambda: local_lipschitz_radius(TANH, X, Y, steps=0), "at least one step. Found 0"),
        (lambda: dual_radius(MLP((4, 3, 3), "relu"), X, Y), "rectifier's infinite"),
        (lambda: dual_radius(TANH, X, Y, outer=0), "at least one step. Found outer=0"),
        (lambda: activation_ranges(nn.Hardtanh()), "Found Hardtanh"),
        (lambda: activation_ranges(nn.ELU(alpha=2.0)), r"ELU\(alpha=1\).*Found ELU\(alpha=2.0\)"),
        (lambda: activation_ranges(nn.GELU("tanh")), "exact GELU"),
        (lambda: activation_ranges(nn.Softplus(threshold=5)), "threshold >= 20. Found 5"),
        (
            lambda: network_constants(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), (4,)),
            "an activation between affine layers",
        ),
        (lambda: network_constants(nn.Sequential(nn.Tanh()), (4,)), "an affine layer before Tanh"),
        (
            lambda: network_constants(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), (4,)),
            "linear layer",
        ),
        (
            lambda: network_constants(nn.Sequential(nn.Linear(4, 2), Doubled()), (4,)),
            "Found Doubled",
        ),
        (lambda: network_constants(nn.Sequential(nn.BatchNorm1d(4)), (4,)), "affine layer before"),
        (
            lambda: network_constants(
                nn.Sequential(nn.AvgPool2d(3, 2), nn.Flatten(), nn.Linear(9, 2)), (1, 7, 7)
            ),
            "pools that do not overlap",
        ),
        (
            lambda: network_constants(
                nn.Sequential(
                    nn.Conv2d(2, 2, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(18, 2)
                ),
                (2, 5, 5),
            ),
            "without dilation or groups",
        ),
        (
            lambda: network_constants(
                nn.Sequential(
                    nn.Conv2d(1, 2, 3, padding="same"), nn.Tanh(), nn.Flatten(), nn.Linear(50, 2)
                ),
                (1, 5, 5),
            ),
            "a number of zeros as padding",
        ),
        (
            lambda: network_constants(nn.Sequential(nn.Flatten(0), nn.Linear(4, 2)), (4,)),
            "flattening of whole examples",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
