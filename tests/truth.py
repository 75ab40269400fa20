"""What the tests of the core compare with: explicit matrices in float64, and hard cases."""

import torch
import torch.nn.functional as F
from torch import nn

from curvlab.networks import ACTIVATIONS, MLP, SmallCNN, he_init

__all__ = [
    "ACTIVATIONS",
    "dense",
    "generator",
    "hessians",
    "jacobians",
    "problem",
    "rows",
    "symmetric",
]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def problem(activation="softplus", architecture="mlp", batch=3, seed=0, dtype=torch.float64):
    """A small random network with inputs and labels; biases are random, so that kinks are off 0."""
    draw = generator(seed)
    if architecture == "mlp":
        model: nn.Module = MLP((6, 7, 5, 4), activation, beta=2.0)
        x = torch.randn(batch, 6, generator=draw, dtype=dtype)
    else:
        model = SmallCNN((1, 4, 4), 4, activation, beta=2.0, width=6, padded=True)
        x = torch.randn(batch, 1, 4, 4, generator=draw, dtype=dtype)
    he_init(model, draw)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight, std=0.3, generator=draw)
    return model.to(dtype), x, torch.randint(4, (batch,), generator=draw)


def hessians(model, x, y):
    """`(B, d, d)`, one example at a time, by the stock loss and the stock tool."""
    return torch.stack(
        [
            torch.autograd.functional.hessian(
                lambda z, t=t: F.cross_entropy(model(z.unsqueeze(0)), t.unsqueeze(0)), one
            ).reshape(one.numel(), one.numel())
            for one, t in zip(x, y, strict=True)
        ]
    )


def jacobians(model, x):
    """`(B, C, d)`, one example at a time."""
    return torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda z: model(z.unsqueeze(0)).squeeze(0), one
            ).flatten(1)
            for one in x
        ]
    )


def rows(operator, x):
    """The matrices of an operator, one product for each unit vector: `(B, d, d)`."""
    size = x[0].numel()
    units = torch.eye(size, dtype=x.dtype, device=x.device)
    images = [operator(e.view(x.shape[1:]).expand_as(x)).flatten(1) for e in units]
    return torch.stack(images, dim=2)


def symmetric(eigenvalues, seed=0):
    """`(B, d, d)` with the given spectra `(B, d)` in random orthonormal bases; and the bases."""
    eigenvalues = torch.as_tensor(eigenvalues, dtype=torch.float64)
    batch, size = eigenvalues.shape
    noise = torch.randn(batch, size, size, generator=generator(seed), dtype=torch.float64)
    basis = torch.linalg.qr(noise).Q
    matrix = basis * eigenvalues.unsqueeze(1) @ basis.mT
    return (matrix + matrix.mT) / 2, basis


def dense(matrix):
    """The operator of explicit matrices `(B, d, d)`."""
    return lambda v: (matrix @ v.unsqueeze(2)).squeeze(2)
