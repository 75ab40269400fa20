"""The browser's numerics against PyTorch, NumPy and SciPy in float64."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rjsmin import jsmin
from scipy import special
from scipy.linalg import eigh_tridiagonal

from curvlab.calculus import hessian_operator
from curvlab.interactive import pack, pack_bytes, unpack
from curvlab.interactive.host import source
from curvlab.interactive.networks import travel
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP
from curvlab.spectrum import lanczos
from curvlab.trust_region import trust_region

RNG = np.random.default_rng(0)


def test_library_is_small_and_knows_no_page():
    script = jsmin(source("numerics.js"))
    assert len(script.encode()) <= 10 * 1024
    for word in ("document", "window", "import ", "fetch(", "eval(", "Function("):
        assert word not in script


def test_float16_and_bytes_are_decoded(node):
    numbers = np.array([0.0, -0.0, 1.0, -2.5, 6e-8, 3e-5, 65504.0, 0.1, -1e-4])
    packed = pack(numbers)
    assert node("return numerics.decode(input.p)", p=packed) == unpack(packed).tolist()
    assert np.allclose(unpack(packed), numbers, rtol=1e-3, atol=3e-8)
    levels = pack_bytes(np.linspace(0, 1, 7))
    assert node("return numerics.decode(input.p)", p=levels) == unpack(levels).tolist()


@pytest.mark.parametrize("activation", ["softplus", "relu", "tanh", "silu", "gelu"])
@pytest.mark.parametrize("label", [0, 2])
def test_curvature_equals_autograd(node, activation, label):
    torch.manual_seed(1)
    held = travel(MLP((6, 9, 7, 4), activation, beta=4.0))
    model = MLP((6, 9, 7, 4), activation, beta=4.0).double()
    with torch.no_grad():
        for layer, packed in zip(list(model)[1::2], held["layers"], strict=True):
            layer.weight.copy_(torch.tensor(unpack(packed["weight"])))
            layer.bias.copy_(torch.tensor(unpack(packed["bias"])))
    x = torch.randn(1, 6, dtype=torch.float64)
    y = torch.tensor([label])
    v = torch.randn(1, 6, dtype=torch.float64)
    operator = hessian_operator(lambda x: margin_cross_entropy(model(x), y), x)
    found = node(
        "const c = numerics.curvature(numerics.network(input.net), input.x, input.y);"
        "return {...c, product: c.product(input.v),"
        " softmax: numerics.softmax(c.logits)};",
        net=held,
        x=x[0].tolist(),
        y=label,
        v=v[0].tolist(),
    )
    logits = model(x)
    for name, truth in {
        "logits": logits[0],
        "probabilities": logits.softmax(1)[0],
        "softmax": logits.softmax(1)[0],
        "loss": margin_cross_entropy(logits, y)[0],
        "gradient": operator.gradient[0],
        "product": operator(v)[0],
    }.items():
        np.testing.assert_allclose(found[name], truth.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gap", [-800.0, -5.0, 0.0, 40.0, 800.0])
def test_cross_entropy_keeps_its_digits(node, gap):
    found = node("return numerics.marginCrossEntropy([input.gap, 0.3, 0], 0)", gap=gap)
    z = torch.tensor([[gap, 0.3, 0.0]], dtype=torch.float64, requires_grad=True)
    value = margin_cross_entropy(z, torch.tensor([0]))
    value.sum().backward()
    np.testing.assert_allclose(found["value"], value.detach().numpy()[0], rtol=1e-12)
    np.testing.assert_allclose(found["residual"], z.grad.numpy()[0], rtol=1e-12, atol=1e-300)


def symmetric(n: int) -> np.ndarray:
    a = RNG.standard_normal((n, n))
    return (a + a.T) / 2


@pytest.mark.parametrize(
    "matrix",
    [
        symmetric(1),
        symmetric(2),
        symmetric(12),
        np.zeros((3, 3)),
        np.diag([2.0, 2.0, -1.0]),
        np.ones((5, 5)),
    ],
)
def test_jacobi_equals_eigh(node, matrix):
    found = node("return numerics.symmetricEigen(input.a)", a=matrix.tolist())
    values, vectors = np.array(found["values"]), np.array(found["vectors"])
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(matrix)), atol=1e-12)
    np.testing.assert_allclose(vectors.T @ np.diag(values) @ vectors, matrix, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("broken", [False, True])
def test_tridiagonal_equals_scipy(node, n, broken):
    d, e = RNG.standard_normal(n), RNG.standard_normal(max(n - 1, 0))
    if broken and n > 2:
        e[n // 2] = 0.0
    found = node("return numerics.tridiagonalEigen(input.d, input.e)", d=d.tolist(), e=e.tolist())
    values, vectors = eigh_tridiagonal(d, e)
    np.testing.assert_allclose(found["values"], values, atol=1e-12)
    np.testing.assert_allclose(found["weights"], vectors[0] ** 2, atol=1e-11)
    np.testing.assert_allclose(found["tails"], np.abs(vectors[-1]), atol=1e-11)


PRODUCT = "const product = (v) => Float64Array.from(input.a, (row) => numerics.dot(row, v));"


def test_lanczos_equals_curvlab(node):
    a, start = symmetric(15), RNG.standard_normal(15)
    found = node(
        PRODUCT + "return numerics.lanczos(product, input.s, 9)", a=a.tolist(), s=start.tolist()
    )
    matrix = torch.tensor(a)
    truth = lanczos(lambda v: v @ matrix, torch.tensor(start)[None], 9)
    np.testing.assert_allclose(found["diagonal"], truth.diagonal[0], atol=1e-10)
    np.testing.assert_allclose(found["offDiagonal"], truth.off_diagonal[0][:8], atol=1e-10)
    np.testing.assert_allclose(found["basis"], truth.basis[0], atol=1e-9)


def test_lanczos_stops_when_its_space_is_exhausted(node):
    found = node(
        PRODUCT + "return numerics.lanczos(product, input.s, 9)",
        a=np.diag([1.0, 1.0, 3.0, 3.0]).tolist(),
        s=[1, 2, 3, 4],
    )
    assert len(found["diagonal"]) == 2


def test_plain_lanczos_loses_orthogonality_and_the_repaired_one_does_not(node):
    a = np.diag([*np.linspace(0, 1, 60), 100.0])
    loss = {}
    for repair in (False, True):
        basis = np.array(
            node(
                PRODUCT + "return numerics.lanczos(product, input.s, 40, input.r).basis",
                a=a.tolist(),
                s=[1.0] * 61,
                r=repair,
            )
        )
        loss[repair] = np.abs(basis @ basis.T - np.eye(len(basis))).max()
    assert loss[True] < 1e-13
    assert loss[False] > 0.5


def test_power_iteration_equals_numpy(node):
    a, v = symmetric(8) + 5 * np.eye(8), RNG.standard_normal(8)
    found = node(
        PRODUCT + "return numerics.powerIteration(product, input.s, 6)", a=a.tolist(), s=v.tolist()
    )
    for value in found["values"]:
        v = v / np.linalg.norm(v)
        np.testing.assert_allclose(value, v @ a @ v, rtol=1e-12)
        v = a @ v


def best_on_disc(values, slopes, radius):
    angle = np.linspace(0, 2 * np.pi, 8_001)
    rings = [radius * t for t in np.linspace(0, 1, 501)]
    h = [np.stack([r * np.cos(angle), r * np.sin(angle)]) for r in rings]
    return max((slopes @ x + values @ x**2 / 2).max() for x in h)


@pytest.mark.parametrize(
    ("values", "slopes", "radius"),
    [
        ([-1.0, 2.0], [0.3, 0.4], 1.0),
        ([-1.0, -2.0], [0.3, 0.4], 10.0),
        ([-1.0, -2.0], [3.0, 4.0], 0.5),
        ([-1.0, 2.0], [0.5, 0.0], 1.0),
        ([1.0, 1.0], [0.0, 0.0], 2.0),
        ([-1.0, 0.0], [0.5, 0.0], 1.0),
        ([0.0, 0.0], [0.5, 0.2], 1.0),
        ([1.0, 3.0], [2.0, 1e-9], 1.0),
    ],
)
def test_trust_region_equals_exhaustive_search(node, values, slopes, radius):
    found = node(
        "return numerics.trustRegion(input.v, input.s, input.r)", v=values, s=slopes, r=radius
    )
    truth = best_on_disc(np.array(values), np.array(slopes), radius)
    assert found["gain"] == pytest.approx(truth, abs=2e-3 * abs(truth) + 1e-12)
    assert found["gain"] >= truth - 1e-9
    step = np.array(found["step"])
    assert np.linalg.norm(step) <= radius * (1 + 1e-9)
    reached = np.array(slopes) @ step + np.array(values) @ step**2 / 2
    assert found["gain"] == pytest.approx(reached, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("tiny", [0.0, 1e-300, 6e-17, 1e-9])
@pytest.mark.parametrize("radius", [0.1, 0.5, 2.0])
def test_trust_region_near_its_hard_case_equals_curvlab(node, tiny, radius):
    found = node(
        "return numerics.trustRegion(input.v, input.s, input.r)",
        v=[3.0, 0.5],
        s=[tiny, 1.0],
        r=radius,
    )
    truth = trust_region(
        torch.tensor([[3.0, 0.5]], dtype=torch.float64),
        torch.tensor([[tiny, 1.0]], dtype=torch.float64),
        radius,
    )
    assert found["gain"] == pytest.approx(truth.value.item(), rel=1e-9)
    np.testing.assert_allclose(np.abs(found["step"]), truth.step[0].abs(), rtol=1e-6, atol=1e-12)


def test_special_functions(node):
    x = [-7.0, -3.0, -0.5, 0.0, 1e-3, 1.0, 2.0, 4.0, 6.5]
    found = node(
        "return [input.x.map(numerics.erf), input.x.map(numerics.normalCdf),"
        " input.x.map(numerics.normalDensity)]",
        x=x,
    )
    np.testing.assert_allclose(found[0], special.erf(x), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found[1], special.ndtr(x), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found[2], np.exp(-(np.array(x) ** 2) / 2) / np.sqrt(2 * np.pi))


def test_random_numbers_are_those_of_python(node):
    from curvlab.interactive.random import normals, uniforms

    found = node(
        "const u = numerics.uniforms(7), n = numerics.normals(7);"
        "return [0, 0, 0, 0, 0].map(() => [u(), n()])"
    )
    u, n = uniforms(7), normals(7)
    np.testing.assert_allclose(found, [[next(u), next(n)] for _ in range(5)], rtol=1e-13)
    many = [next(n) for _ in range(4000)]
    assert abs(np.mean(many)) < 0.06
    assert abs(np.std(many) - 1) < 0.05


@settings(deadline=None, max_examples=10)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_packing_keeps_three_digits(numbers):
    packed = json.loads(json.dumps(pack(np.array(numbers))))
    np.testing.assert_allclose(unpack(packed), numbers, rtol=6e-4, atol=3e-8)


@pytest.mark.parametrize("matrix", [[[1, 2], [2, -3]], [[-2, 0.5], [0.5, -1]], [[3, 1], [1, 2]]])
@pytest.mark.parametrize("slope", [[1.0, 0.2], [0.05, -0.04]])
def test_square_maximum_equals_exhaustive_search(node, matrix, slope):
    found = np.array(
        node("return numerics.squareMaximum(input.g, input.h, 0.5)", g=slope, h=matrix)
    )
    line = np.linspace(-0.5, 0.5, 401)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    gains = points @ slope + np.einsum("ni,ij,nj->n", points, matrix, points) / 2
    reached = found @ slope + found @ matrix @ found / 2
    assert np.abs(found).max() <= 0.5
    assert gains.max() - 1e-12 <= reached <= gains.max() + 1e-4
