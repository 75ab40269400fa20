"""Losses for each example that keep their digits in float32, and a cheap smooth activation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Softplus(torch.autograd.Function):
    """`log(1 + e^(beta z)) / beta` together with its slope `sigmoid(beta z)`.

    The slope is an output, so that the backward pass `g * slope` is differentiated through this
    same function and no product with the Hessian evaluates an exponential again.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        # past 40 log(1 + e^z) = z in float64 too; the stock threshold of 20 is for float32
        return F.softplus(z, beta, threshold=40.0), (z * beta).sigmoid_()

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]
    ) -> None:
        ctx.beta = inputs[1]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        (slope,) = ctx.saved_tensors
        value, bend = grads
        if bend is None:
            return None if value is None else value * slope, None
        bent = torch.ops.aten.sigmoid_backward(bend, slope)
        if value is None:
            return bent * ctx.beta, None
        return torch.add(value * slope, bent, alpha=ctx.beta), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> tuple[Tensor, Tensor]:
        (slope,) = ctx.saved_tensors
        bent = torch.ops.aten.sigmoid_backward(tangents[0], slope)
        return tangents[0] * slope, bent * ctx.beta


def softplus(z: Tensor, beta: float = 1.0) -> Tensor:
    """`log(1 + exp(beta z)) / beta`: slope in (0, 1), second derivative at most `beta / 4`.

    A product with the Hessian of a network of these costs a quarter less than with the stock
    function, and float64 keeps all its digits.

    >>> softplus(torch.zeros(2), beta=2.0)
    tensor([0.3466, 0.3466])
    """
    if not beta > 0:
        raise ValueError(f"requires beta > 0. Found {beta}.")
    if not z.requires_grad:
        return F.softplus(z, beta, threshold=40.0)
    result: Tensor = _Softplus.apply(z, beta)[0]
    return result


def margin_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each example, `(B, C), (B,) -> (B,)`, as a softplus of a soft margin.

    It equals `F.cross_entropy`: with k the most likely class, `z_k - z_y` plus the softplus of
    `logsumexp of the logits but z_k, minus z_k`; the first term is zero for an example
    classified right. The stock gradient computes `p_y - 1` and loses every digit of it once
    an example is confident in float32. Here no probability near one is ever formed, so gradients
    and Hessians keep their digits for examples that are confidently right or confidently wrong.

    >>> margin_cross_entropy(torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    tensor([2.0612e-09])
    """
    check_labels(logits, y)
    own, top = y.unsqueeze(1), logits.detach().argmax(1, keepdim=True)
    lead = logits.gather(1, top)
    rest = logits.scatter(1, top, float("-inf")).logsumexp(1, keepdim=True)
    # masked, not left to cancel: 1 and -1 would swallow the small derivatives of what follows
    behind = torch.where(own == top, 0, lead - logits.gather(1, own))
    return (behind + softplus(rest - lead)).squeeze(1)


def check_labels(logits: Tensor, y: Tensor) -> None:
    """Raise unless `y` holds one class index for each row of floating-point `logits`."""
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(f"requires logits (B, C), C >= 2. Found shape {tuple(logits.shape)}.")
    if not logits.is_floating_point():
        raise TypeError(f"requires floating-point logits. Found {logits.dtype}.")
    if y.shape != logits.shape[:1]:
        raise ValueError(f"requires labels ({len(logits)},). Found shape {tuple(y.shape)}.")
    if y.dtype != torch.int64:
        raise TypeError(f"requires int64 labels. Found {y.dtype}.")
    # inside torch.func.vmap only the unwrapped labels have values to look at
    values = torch.func.debug_unwrap(y)
    if values.numel():
        low, high = map(int, values.aminmax())
        if low < 0 or high >= logits.shape[1]:
            found = f"{low} to {high}"
            raise ValueError(f"requires labels from 0 to {logits.shape[1] - 1}. Found {found}.")
