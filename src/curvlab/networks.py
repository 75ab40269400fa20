"""The book's networks: small, without normalization layers, with a choice of activation.

No layer mixes examples, so every derivative is an example's own.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from curvlab.losses import softplus


class Softplus(nn.Module):
    """`softplus` as a layer; `beta / 4` bounds its second derivative."""

    def __init__(self, beta: float = 1.0):
        super().__init__()
        self.beta = beta

    def forward(self, z: Tensor) -> Tensor:
        return softplus(z, self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta:g}"


ACTIVATIONS = ("relu", "softplus", "gelu", "elu", "silu", "tanh", "sigmoid")


def activation_layer(name: str, beta: float = 8.0) -> nn.Module:
    """An activation by name; `beta` is the sharpness of softplus and of nothing else.

    >>> activation_layer("softplus", beta=4.0)
    Softplus(beta=4)
    """
    if name == "softplus":
        return Softplus(beta)
    layers: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "elu": nn.ELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
    }
    if name not in layers:
        raise ValueError(f"requires one of {', '.join(ACTIVATIONS)}. Found {name!r}.")
    return layers[name]()


class MLP(nn.Sequential):
    """A fully connected network on flattened inputs: `sizes = (inputs, *hidden, classes)`.

    >>> MLP((784, 32, 10))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, sizes: Sequence[int], activation: str = "softplus", beta: float = 8.0):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"requires at least two positive sizes. Found {tuple(sizes)}.")
        layers: list[nn.Module] = [nn.Flatten()]
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            if i:
                layers.append(activation_layer(activation, beta))
            layers.append(nn.Linear(inputs, outputs))
        super().__init__(*layers)


class SmallCNN(nn.Sequential):
    """Two convolutions, two average pools, two linear layers.

    The study's network has 56,970 weights on 28 x 28 images; `width=128, padded=True` is the
    207,178-weight case of the benchmark.

    >>> sum(p.numel() for p in SmallCNN().parameters())
    56970
    """

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        activation: str = "softplus",
        beta: float = 8.0,
        width: int = 64,
        padded: bool = False,
    ):
        channels, height, width_in = shape
        lost = (0, 0) if padded else (4, 2)
        sides = [((side - lost[0]) // 2 - lost[1]) // 2 for side in (height, width_in)]
        if min(sides) < 1:
            least = "4 x 4" if padded else "12 x 12"
            raise ValueError(f"requires images of at least {least}. Found {height} x {width_in}.")
        super().__init__(
            nn.Conv2d(channels, 16, 5, padding=2 if padded else 0),
            activation_layer(activation, beta),
            nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1 if padded else 0),
            activation_layer(activation, beta),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * math.prod(sides), width),
            activation_layer(activation, beta),
            nn.Linear(width, classes),
        )


@torch.no_grad()
def he_init(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Gaussian weights of variance 2 / fan-in in every layer, zero biases (He et al., 2015)."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in), generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
