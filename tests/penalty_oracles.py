"""Small float64 networks, explicit derivatives, and finite differences in the weights."""

import torch
from torch.autograd.functional import hessian, jacobian

from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP

D, C = 5, 4


def network(activation="softplus", seed=0, sizes=(D, 6, C), gain=2.0):
    torch.manual_seed(seed)
    model = MLP(sizes, activation, beta=2.0).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(gain)
    return model


def batch(n=6, seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(n, D, dtype=torch.float64, generator=draw)
    return x, torch.randint(C, (n,), generator=draw)


def loss_of(model, label):
    return lambda point: margin_cross_entropy(model(point.unsqueeze(0)), label.unsqueeze(0))[0]


def gradients(model, x, y):
    """`(B, D)`, one example at a time."""
    return torch.stack(
        [jacobian(loss_of(model, b), a, create_graph=True) for a, b in zip(x, y, strict=True)]
    )


def hessians(model, x, y):
    """`(B, D, D)`, one example at a time."""
    return torch.stack(
        [hessian(loss_of(model, b), a, create_graph=True) for a, b in zip(x, y, strict=True)]
    )


def jacobians(f, x):
    """`(B, C, D)`, one example at a time."""
    return torch.stack([jacobian(lambda a: f(a.unsqueeze(0))[0], a, create_graph=True) for a in x])


def weight_gradient(value, model):
    """The gradient of `value.sum()` in all weights, flat."""
    weights = list(model.parameters())
    parts = torch.autograd.grad(value.sum(), weights, materialize_grads=True, retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


def assert_slope(value, model, seed=0, step=1e-5, tolerance=1e-6):
    """`value()` rises along random weights as its gradient says, by a central difference."""
    draw = torch.Generator().manual_seed(seed)
    weights = list(model.parameters())
    kick = [torch.randn(w.shape, dtype=w.dtype, generator=draw) for w in weights]
    predicted = weight_gradient(value(), model) @ torch.cat([k.flatten() for k in kick])

    def moved(sign):
        with torch.no_grad():
            for w, k in zip(weights, kick, strict=True):
                w.add_(sign * step * k)
        total = value().sum().item()
        with torch.no_grad():
            for w, k in zip(weights, kick, strict=True):
                w.sub_(sign * step * k)
        return total

    measured = (moved(1) - moved(-1)) / (2 * step)
    assert abs(predicted.item()) > 1e-6
    assert abs(predicted.item() - measured) <= tolerance * max(abs(measured), 1e-3)
