"""Every block of the page for the training loop runs as it is printed, and says what is printed."""

import re

import notebooks as nb
import pytest
import torch

from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP

PAGE = (nb.ROOT / "book/reference/training-loop.md").read_text(encoding="utf-8")
# a block of code, and what it prints if the page shows that
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)


def names(dtype=torch.float32):
    torch.manual_seed(0)
    model, field = MLP((6, 16, 3), "softplus").to(dtype), MLP((6, 16, 6), "tanh").to(dtype)
    return {
        "model": model,
        "field": field,
        "x": torch.rand(8, 6, dtype=dtype),
        "y": torch.arange(8) % 3,
        "target": torch.rand(8, 6, dtype=dtype),
        "optimizer": torch.optim.SGD([*model.parameters()], lr=0.1),
    }


def title(block):
    return re.search(r"import (\w+)", block)[1]


@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=[title(code) for code, _ in BLOCKS])
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.*", "ignore::DeprecationWarning")
def test_block_runs_as_printed(code, printed, capsys):
    found = names()
    before = [p.clone() for p in found["model"].parameters()]
    exec(code, found)
    assert capsys.readouterr().out == printed
    if "optimizer.step" in code or "scaler.step" in code:
        after = list(found["model"].parameters())
        assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))


SECTIONS = re.findall(r"^### `(\w+)`\n\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("name", "code"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_three_lines_train_and_change_the_gradient(name, code):
    assert f"import {name}\n" in code
    assert sum(line.strip() != "" for line in code.splitlines()) <= 4
    found = names(torch.float64)
    exec(code, found)
    trained = found["field"] if name == "SpectralTarget" else found["model"]
    grads = [p.grad.clone() for p in trained.parameters()]
    assert all(bool(g.isfinite().all()) for g in grads)
    trained.zero_grad()
    x, y, target = found["x"], found["y"], found["target"]
    loss = (
        (trained(x) - target).square().sum(1)
        if name == "SpectralTarget"
        else margin_cross_entropy(trained(x), y)
    )
    loss.mean().backward()
    plain = [p.grad for p in trained.parameters()]
    differs = any(not torch.allclose(g, p, 1e-9) for g, p in zip(grads, plain, strict=True))
    assert differs == (name != "Plain")


def test_every_method_has_its_lines():
    import methods

    assert [name for name, _ in SECTIONS] == [m.name for m in methods.METHODS]
