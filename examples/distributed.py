"""Training with a penalty in several processes, each batch in micro-batches.

    torchrun --nproc-per-node 2 examples/distributed.py --chunks 2 --precision bfloat16

The processes meet in PyTorch's own DistributedDataParallel, on the CPU through gloo.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from curvlab import data
from curvlab.networks import MLP
from curvlab.parallel import Mixed, penalized_step
from curvlab.penalties import InputGradient

BATCH = 100  # examples a step, all processes together


def train(steps: int, chunks: int, precision: str, quiet: bool = True) -> dict[str, Tensor]:
    """Trains a small network on digits, alone or as one of several processes; its weights."""
    torch.manual_seed(0)
    network: nn.Module = MLP((64, 32, 10))
    if precision == "bfloat16":
        network = Mixed(network)
    network = network.to(torch.float64 if precision == "float64" else torch.float32)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    model = DistributedDataParallel(network) if dist.is_initialized() else network
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    digits = data.load("digits", "train")
    x, y = digits.x.to(next(model.parameters()).dtype), digits.y
    for step in range(steps):
        # the same order everywhere, and then each process its own part
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(step))[:BATCH]
        mine = order.tensor_split(world)[rank]
        optimizer.zero_grad()
        value = torch.tensor(
            penalized_step(
                model, InputGradient(), x[mine], y[mine], strength=0.1, total=BATCH, chunks=chunks
            )
        )
        if world > 1:
            dist.all_reduce(value)
            value /= world
        optimizer.step()
        if rank == 0 and not quiet:
            print(f"step {step + 1}: {value.item():.4f}")
    return {name: weight.detach() for name, weight in network.named_parameters()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=1, help="micro-batches a step")
    parser.add_argument(
        "--precision", choices=("float32", "float64", "bfloat16"), default="float32"
    )
    parser.add_argument("--save", type=Path, help="where process 0 writes the weights")
    arguments = parser.parse_args()
    # torchrun says how many processes there are; without it this is one
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    weights = train(arguments.steps, arguments.chunks, arguments.precision, quiet=False)
    if arguments.save and not (dist.is_initialized() and dist.get_rank()):
        torch.save(weights, arguments.save)
    if dist.is_initialized():
        dist.destroy_process_group()
        # DDP keeps gloo's threads alive beyond the group, and now and then an exit aborts on them
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
