"""A penalized gradient in parts: over processes, over micro-batches, with products in bfloat16.

Every penalty is per example. So a sum over all examples, divided once by their number, is the
same objective however the batch is cut.
"""

from contextlib import nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from curvlab.training import Penalty

__all__ = ["Mixed", "penalized_step"]


class Mixed(nn.Module):
    """A network whose products run in bfloat16; weights, logits and derivatives stay float32.

    Only the forward pass is inside: each derivative runs in the precision of what it
    differentiates, and the loss needs logits whose differences are still there.

    >>> Mixed(nn.Linear(3, 2))(torch.rand(5, 3)).dtype
    torch.float32
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            logits: Tensor = self.network(x)
        return logits.float()


def penalized_step(
    model: nn.Module,
    penalty: Penalty,
    x: Tensor,
    y: Tensor,
    *,
    strength: float,
    total: int,
    chunks: int = 1,
) -> float:
    """Adds this process's part of the gradient to `.grad`; returns its part of the objective.

    The objective is the mean of `loss + strength * penalty` over `total` examples, those of all
    processes; this one brings `x` and goes through it in `chunks` micro-batches. As
    DistributedDataParallel averages over processes where a sum is wanted, each part is multiplied
    by their number, so shares need not be equal. A penalty that draws must be given the draws of
    each example: parts with a generator of their own agree with one process in the mean only.

    >>> from curvlab.penalties import InputGradient
    >>> model, x, y = nn.Linear(3, 2), torch.rand(5, 3), torch.tensor([0, 1, 0, 1, 0])
    >>> gradients = []
    >>> for chunks in (1, 3):
    ...     model.zero_grad()
    ...     _ = penalized_step(
    ...         model, InputGradient(), x, y, strength=0.1, total=5, chunks=chunks)
    ...     gradients.append(model.weight.grad.clone())
    >>> torch.allclose(*gradients)
    True
    """
    if not 1 <= chunks <= len(x) <= total:
        raise ValueError(
            f"requires 1 <= chunks <= len(x) <= total. Found {chunks}, {len(x)}, {total}."
        )
    processes = dist.get_world_size() if isinstance(model, DistributedDataParallel) else 1
    scale = processes / total
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    value = 0.0
    pieces = list(zip(x.tensor_split(chunks), y.tensor_split(chunks), strict=True))
    for number, (images, labels) in enumerate(pieces, start=1):
        # the processes meet once a step, at the last micro-batch
        alone = (
            model.no_sync()
            if isinstance(model, DistributedDataParallel) and number < len(pieces)
            else nullcontext()
        )
        with alone:
            terms = penalty(model, images, labels)
            part = scale * (terms.loss + strength * terms.penalty).sum()
            torch.autograd.backward(part, inputs=weights)
        value += part.item()
    return value
