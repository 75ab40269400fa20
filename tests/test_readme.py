"""The README's code runs as printed."""

import re
from pathlib import Path

import torch

from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_three_lines_in_a_training_loop():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    torch.manual_seed(0)
    model = MLP((6, 8, 3), "softplus")
    names = {"model": model, "x": torch.rand(5, 6), "y": torch.tensor([0, 1, 2, 0, 1])}
    exec(block, names)
    grads = [p.grad.clone() for p in model.parameters()]
    assert all(bool(g.isfinite().all()) for g in grads)

    model.zero_grad()
    margin_cross_entropy(model(names["x"]), names["y"]).mean().backward()
    plain = [p.grad for p in model.parameters()]
    assert any(not torch.allclose(g, p) for g, p in zip(grads, plain, strict=True))
    assert sum(line.strip() != "" for line in block.splitlines()) <= 4
