"""Networks on their way into a page, and back as the page sees them."""

from typing import Any

import torch
from torch import nn

from curvlab.interactive.host import State, pack, unpack
from curvlab.networks import MLP, Softplus

MOST_WEIGHTS = 25_000

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
    Softplus: "softplus",
}


def travel(model: nn.Sequential) -> State:
    """A fully connected network of at most 25,000 weights, packed for a page in float16.

    >>> held = travel(MLP((2, 3, 2), "tanh"))
    >>> held["activation"], held["layers"][0]["weight"]["shape"]
    ('tanh', [3, 2])
    """
    layers = [layer for layer in model if not isinstance(layer, nn.Flatten)]
    linear = [layer for layer in layers[::2] if isinstance(layer, nn.Linear)]
    hidden = layers[1::2]
    shapes_fit = len(linear) == len(layers) - len(hidden) == len(hidden) + 1
    kinds = {type(layer) for layer in hidden}
    betas = {layer.beta for layer in hidden if isinstance(layer, Softplus)}
    if not shapes_fit or len(kinds) > 1 or len(betas) > 1 or not kinds <= set(ACTIVATIONS):
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise ValueError(f"requires linear layers with one activation between. Found {names}.")
    count = sum(p.numel() for p in model.parameters())
    if count > MOST_WEIGHTS:
        raise ValueError(f"requires at most {MOST_WEIGHTS} weights. Found {count}.")
    held: dict[str, Any] = {
        "activation": ACTIVATIONS[kinds.pop()] if kinds else "relu",
        "layers": [{"weight": pack(k.weight), "bias": pack(k.bias)} for k in linear],
    }
    if betas:
        held["beta"] = betas.pop()
    return held


def arrive(held: State) -> MLP:
    """The network as the page computes with it: float16 weights in float64 arithmetic.

    >>> arrive(travel(MLP((2, 3, 2), "tanh")))(torch.zeros(1, 2, dtype=torch.float64)).shape
    torch.Size([1, 2])
    """
    shapes = [layer["weight"]["shape"] for layer in held["layers"]]
    sizes = [shapes[0][1], *(rows for rows, _ in shapes)]
    model = MLP(sizes, held["activation"], held.get("beta", 1.0)).double()
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, packed in zip(linear, held["layers"], strict=True):
            layer.weight.copy_(torch.from_numpy(unpack(packed["weight"])))
            layer.bias.copy_(torch.from_numpy(unpack(packed["bias"])))
    return model.requires_grad_(False)
