"""The book's networks: their sizes, activations, initial weights; and what they refuse."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from truth import ACTIVATIONS, generator

from curvlab.networks import MLP, SmallCNN, Softplus, activation_layer, he_init

STOCK = {
    "relu": F.relu,
    "softplus": lambda z: F.softplus(z, 3.0, threshold=50.0),
    "gelu": F.gelu,
    "elu": F.elu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_the_stock_function(name):
    z = torch.linspace(-9, 9, 37, dtype=torch.float64)
    torch.testing.assert_close(activation_layer(name, beta=3.0)(z), STOCK[name](z))


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "softplus"])
def test_sharpness_belongs_to_softplus_alone(name):
    z = torch.linspace(-3, 3, 7)
    assert activation_layer(name, 1.0)(z).equal(activation_layer(name, 50.0)(z))


@settings(deadline=None, max_examples=50)
@given(st.floats(0.5, 100), st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_softplus_layer_is_within_log2_over_beta_of_relu(beta, points):
    z = torch.tensor(points, dtype=torch.float64)
    above = Softplus(beta)(z) - z.relu()
    assert (above >= -1e-12).all()
    assert (above <= math.log(2) / beta + 1e-12).all()


def test_parameter_counts():
    assert sum(p.numel() for p in SmallCNN().parameters()) == 56_970
    assert sum(p.numel() for p in SmallCNN(width=128, padded=True).parameters()) == 207_178
    assert sum(p.numel() for p in MLP((784, 32, 10)).parameters()) == 784 * 32 + 32 + 330


@pytest.mark.parametrize(
    ("shape", "padded"),
    [((1, 28, 28), False), ((3, 32, 32), True), ((1, 12, 17), False), ((1, 4, 5), True)],
)
def test_cnn_takes_any_image_that_survives_its_pools(shape, padded):
    logits = SmallCNN(shape, classes=7, padded=padded)(torch.zeros(2, *shape))
    assert logits.shape == (2, 7)


def test_mlp_flattens_and_may_be_linear():
    assert MLP((12, 3))(torch.zeros(5, 3, 2, 2)).shape == (5, 3)
    assert not any(isinstance(layer, Softplus) for layer in MLP((12, 3)))
    assert [type(layer).__name__ for layer in MLP((4, 5, 3), "tanh")] == [
        "Flatten",
        "Linear",
        "Tanh",
        "Linear",
    ]


@pytest.mark.parametrize("network", [MLP((144, 8, 4)), SmallCNN((1, 12, 12), 4, width=8)])
def test_examples_do_not_influence_one_another(network):
    x = torch.randn(4, 1, 12, 12, generator=generator(0))
    alone = torch.cat([network(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(x), alone)


def test_he_init_has_variance_two_over_fan_in_and_is_seeded():
    first, second = SmallCNN(width=128, padded=True), SmallCNN(width=128, padded=True)
    state = torch.get_rng_state()
    he_init(first, generator(3))
    he_init(second, generator(3))
    assert torch.equal(state, torch.get_rng_state())
    for (name, weight), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert weight.equal(other)
        assert weight.requires_grad
        if name.endswith("bias"):
            assert not weight.any()
        else:
            wanted = 2 / weight[0].numel()
            # the sample variance of n Gaussians has standard deviation sqrt(2 / n)
            assert abs(weight.var().item() / wanted - 1) < 5 * math.sqrt(2 / weight.numel())


def test_he_init_without_bias():
    layer = torch.nn.Linear(3, 2, bias=False)
    he_init(layer, generator(0))
    assert layer.bias is None


def test_repr_states_the_sharpness():
    assert repr(activation_layer("softplus", 2.5)) == "Softplus(beta=2.5)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: activation_layer("swish"), "requires one of relu, softplus, .* Found 'swish'."),
        (lambda: MLP((4,)), r"requires at least two positive sizes. Found \(4,\)."),
        (lambda: MLP((4, 0, 2)), r"requires at least two positive sizes. Found \(4, 0, 2\)."),
        (
            lambda: SmallCNN((1, 11, 28)),
            "requires images of at least 12 x 12. Found 11 x 28.",
        ),
        (
            lambda: SmallCNN((1, 28, 3), padded=True),
            "requires images of at least 4 x 4. Found 28 x 3.",
        ),
        (
            lambda: MLP((2, 3, 2), beta=0.0)(torch.ones(1, 2)),
            "requires beta > 0. Found 0.0.",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
