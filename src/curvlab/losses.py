"""Losses for each example that keep their digits in float32, and a cheap smooth activation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Softplus(torch.autograd.Function):
    """`log(1 + e^z)` whose backward pass, `g * sigmoid(z)`, is itself cheap to differentiate.

    The stock second derivative costs a third more for each Hessian-vector product.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return F.softplus(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        z: Tensor = ctx.saved_tensors[0]
        return grads[0] * z.sigmoid()

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        z: Tensor = ctx.saved_tensors[0]
        return tangents[0] * z.sigmoid()


def softplus(z: Tensor, beta: float = 1.0) -> Tensor:
    """`log(1 + exp(beta z)) / beta`: slope in (0, 1), second derivative at most `beta / 4`.

    >>> softplus(torch.zeros(2), beta=2.0)
    tensor([0.3466, 0.3466])
    """
    if not beta > 0:
        raise ValueError(f"requires beta > 0. Found {beta}.")
    if beta == 1.0:
        return _apply(z)
    return _apply(z * beta) / beta


def _apply(z: Tensor) -> Tensor:
    result: Tensor = _Softplus.apply(z)
    return result


def margin_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each example, `(B, C), (B,) -> (B,)`, as a softplus of its soft margin.

    `softplus(logsumexp of the other logits - own logit)` equals `F.cross_entropy`. That one
    computes `p_y - 1` in its gradient and loses every digit of it once an example is confident
    in float32; this one never subtracts nearly equal numbers.

    >>> margin_cross_entropy(torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    tensor([2.0612e-09])
    """
    check_labels(logits, y)
    own = y.unsqueeze(1)
    others = logits.scatter(1, own, float("-inf")).logsumexp(1)
    return _apply(others - logits.gather(1, own).squeeze(1))


def check_labels(logits: Tensor, y: Tensor) -> None:
    """Raise unless `y` holds one class index for each row of `logits`."""
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(f"requires logits (B, C), C >= 2. Found shape {tuple(logits.shape)}.")
    if y.shape != logits.shape[:1]:
        raise ValueError(f"requires labels ({len(logits)},). Found shape {tuple(y.shape)}.")
    if y.dtype != torch.int64:
        raise TypeError(f"requires int64 labels. Found {y.dtype}.")
    if y.numel() and not (int(y.min()) >= 0 and int(y.max()) < logits.shape[1]):
        found = f"{int(y.min())} to {int(y.max())}"
        raise ValueError(f"requires labels from 0 to {logits.shape[1] - 1}. Found {found}.")
