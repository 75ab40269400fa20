"""The page for people who come for the code: `book/reference/training-loop`.

Its blocks of code run in `tests/book/test_training_loop.py` as they are printed.
"""

from functools import cache
from typing import Any

import methods
import yaml

from curvlab.penalties import SpectralTarget

TOP = """---
description: Every penalty of curvlab in three lines of a PyTorch training loop, and the traps.
---
# Use it in your training loop

`curvlab` needs PyTorch and no other part of this book: `pip install .` in a clone. Everything below
is tested as it is printed, with a small `model`, a batch `x, y` and an `optimizer` at hand.

```python
from curvlab.penalties import HessianNorm

penalty, strength = HessianNorm(steps=3), 0.5
weights = list(model.parameters())
for x, y in [(x, y)]:  # your loader
    optimizer.zero_grad()
    terms = penalty(model, x, y)
    (terms.loss + strength * terms.penalty).mean().backward(inputs=weights)
    optimizer.step()
```

A penalty replaces your loss: `terms.loss` and `terms.penalty` come from one forward pass, one value
for each example. Nothing depends on the size of the batch, so neither does the strength.
`inputs=weights` spares the gradient in the images, which nobody needs. What a penalty draws at
random comes from `generator=`, another loss for each example goes in as `loss=`.

[What each method bounds](methods.md) says what it can promise; the [interface](api.md) lists
every field.
"""

CHOOSE = """## How to choose the strength

**Start from the two numbers.** A tenth of the loss is a penalty that can be felt and does not rule:

```python
from curvlab.penalties import InputGradient

loss, penalty = (part.detach().mean() for part in InputGradient()(model, x, y))
strength = 0.1 * float(loss / penalty)
```

Do this after the first epoch, not at the start: an untrained network is flat, and the number would
be far too large.

**Go up in factors of four** and stop where the clean accuracy on *validation* images has fallen by
more than you can give. The study of this book allows {margins}.

**Choose among what is left by attack**, on the same validation images and with an attack that is
stronger than anything in training:

```python
from curvlab.attacks import pgd

found = pgd(model.eval(), x, y, eps=0.5, norm="l2", steps=20, restarts=2, drop_fooled=True)
robust = 1 - found.fooled.float().mean().item()
```

Not by the penalty's own value: larger logits shrink every gradient of the loss without moving one
decision ({{prf:ref}}`thm-scale-cheat`). And not on the test set, which is for the one network
that you chose. Methods that take a radius have the unit of the loss: leave the strength at 1 and
choose `epsilon`.
"""

COST = """## What a step costs

In plain training steps, as in [what each method bounds](methods.md): *arithmetic* counts
operations, *time* is measured.
"""

TRAPS = """## Traps

**BatchNorm in training mode** makes every example's loss depend on the whole batch, and a
derivative of one example would be a derivative of all. It is refused:

```python
from torch import nn

from curvlab.penalties import InputGradient

normed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Softplus(), nn.Linear(8, 3))
try:
    InputGradient()(normed, x, y)
except ValueError as error:
    print(error)
normed[1].eval()  # its statistics stay as they are; its weights still train
terms = InputGradient()(normed, x, y)
```

```text
requires model.eval(). Found BatchNorm in training mode.
```

Use GroupNorm or LayerNorm, or train the last epochs with the statistics frozen like this.

**Dropout** draws its mask once for each forward pass. A penalty that compares two points runs two
passes and measures the difference of the masks:

```python
from torch import nn

from curvlab.penalties import Cure

dropped = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Dropout(0.5), nn.Linear(64, 3))
tiny = Cure(step=1e-6, squared=False)
print(tiny(dropped, x, y).penalty.mean().item() > 0.01)
print(tiny(dropped.eval(), x, y).penalty.mean().item() < 0.0001)
```

```text
True
True
```

`GradientFiniteDifference`, `Cure`, `Llr`, `Elle`, `GradAlign`, `Scorpio(difference=...)` and the
objectives run the network more than once. Switch dropout off for them.

**float16 and bfloat16 inputs** are refused: the gradient of a confident example is small, its
square smaller, and 1e-8 is where float16 ends.

```python
from curvlab.penalties import InputGradient

try:
    InputGradient()(model.half(), x.half(), y)
except TypeError as error:
    print(error)
```

```text
requires a float32 or float64 input. Found torch.float16.
```

**Mixed precision.** Keep the penalized pass out of autocast, whatever the rest of the step does:
inner iterations multiply matrices too, and autocast would round their directions to bfloat16.

```python
import torch

from curvlab.penalties import HessianNorm

scaler = torch.amp.GradScaler(x.device.type)
with torch.autocast(x.device.type, dtype=torch.bfloat16):
    with torch.autocast(x.device.type, enabled=False):
        terms = HessianNorm()(model, x.float(), y)
scaler.scale((terms.loss + terms.penalty).mean()).backward()
scaler.step(optimizer)
scaler.update()
```

A gradient scaler is harmless: it scales the sum after the penalty is computed, not what the penalty
sees.

**Kernels without a second derivative.** A penalty differentiates a gradient. Fused attention
cannot:

```python
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from curvlab.penalties import InputGradient


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        t = self.inner(x).view(len(x), 1, 2, 3)
        t = nn.functional.scaled_dot_product_attention(t, t, t)
        return self.outer(t.reshape(len(x), 6))


attention = Attention()
with sdpa_kernel(SDPBackend.MATH):
    terms = InputGradient()(attention, x, y)
    (terms.loss + terms.penalty).mean().backward()
try:
    terms = InputGradient()(attention, x, y)
    (terms.loss + terms.penalty).mean().backward()
except RuntimeError as error:
    print("not implemented" in str(error))
```

```text
True
```

A compiled model fails in the same way; compile what is not penalized, or nothing.

```python
import torch
from torch import nn

from curvlab.penalties import InputGradient

network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
compiled = torch.compile(network, backend="aot_eager")
try:
    terms = InputGradient()(compiled, x, y)
    (terms.loss + terms.penalty).mean().backward()
except RuntimeError as error:
    print("double backward" in str(error))
```

```text
True
```

**Rectifiers.** On a ReLU network the exact Hessian sees slopes and confidence and no kink; a
difference over a step sees kinks, the more the larger the step ({prf:ref}`thm-kinks`). A smooth
activation (`curvlab.networks.Softplus`, GELU, tanh) gives a curvature penalty something to hold.

**The pixels' range.** `epsilon` and `step` are in the unit of `x`. Penalties do not clip;
objectives attack inside `box=(0, 1)` and refuse inputs outside it:

```python
from curvlab.objectives import Fgsm

try:
    Fgsm(epsilon=0.1)(model, 2 * x - 1, y)
except ValueError as error:
    print(str(error).split(".")[0])
terms = Fgsm(epsilon=0.2, box=(-1, 1))(model, 2 * x - 1, y)
```

```text
requires inputs in [0, 1]
```

Put a normalization inside the model, so that `x` keeps its range.
"""


@cache
def plan() -> dict[str, Any]:
    """The study's plan."""
    return yaml.safe_load((methods.ROOT / "experiments/study.yaml").read_text(encoding="utf-8"))


def grid(method: methods.Method) -> str:
    """What the study tries for a method, if it is in the study."""
    held = plan()["methods"].get(method.study)
    if not held or len(held["values"]) < 2:
        return ""
    values = ", ".join(f"{value:g}" for value in held["values"])
    fixed = f" at strength {held['strength']:g}" if held.get("strength") else ""
    return f" The study tries `{held['vary']}` {values}{fixed}."


def strength(method: methods.Method) -> float:
    """The strength in the printed lines: the study's second value, or a plain choice."""
    held = plan()["methods"].get(method.study, {})
    if held.get("vary") == "strength" and len(held["values"]) > 1:
        return held["values"][1]
    return {methods.RADIUS: 1.0, methods.SQUARE: 1000.0}.get(method.strength, 0.1)


def lines(method: methods.Method, module: str) -> str:
    """The lines of one method."""
    if isinstance(methods.made(method.call), SpectralTarget):
        return (
            "from curvlab.penalties import SpectralTarget\n\n"
            'terms = SpectralTarget("jacobian", "symmetry")(field, x)\n'
            "loss = (terms.output - target).square().sum(1)\n"
            "(loss + 0.1 * terms.penalty).mean().backward()"
        )
    total = "terms.loss"
    if module == "penalties":
        total = f"(terms.loss + {strength(method):g} * terms.penalty)"
    return (
        f"from curvlab.{module} import {method.name}\n\n"
        f"terms = {method.call}(model, x, y)\n"
        f"{total}.mean().backward(inputs=list(model.parameters()))"
    )


def section(method: methods.Method, module: str) -> str:
    """One method: its lines and how to choose its strength."""
    more = " A `field` maps `(B, d)` to `(B, d)`, and `target` is what it should give."
    note = more if method.name == "SpectralTarget" else ""
    said = method.strength[0].upper() + method.strength[1:]
    return (
        f"### `{method.name}`\n\n```python\n{lines(method, module)}\n```\n\n"
        f"{said}.{grid(method)}{note} [What it bounds](methods.md#{method.name.lower()})."
    )


def page() -> str:
    """`book/reference/training-loop`."""
    names = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
    points = {data: f"{100 * held['margin']:g}" for data, held in plan()["data"].items()}
    margins = " and ".join(
        f"{count} {'point' if count == '1' else 'points'} on {names[data]}"
        for data, count in points.items()
    )
    table = [
        f"| [`{m.name}`](methods.md#{m.name.lower()}) | {methods.work(m)} | {methods.seconds(m)} |"
        for m in methods.METHODS
    ]
    parts = [
        TOP.rstrip(),
        "## Three lines for each penalty",
        *(section(m, "penalties") for m in methods.PENALTIES),
        "## Two for each objective",
        "The attack or the noise is inside; the penalty is zero.",
        *(section(m, "objectives") for m in methods.OBJECTIVES),
        CHOOSE.format(margins=margins).rstrip(),
        COST.rstrip(),
        "\n".join(["| method | arithmetic | time |\n|---|---:|---:|", *table]),
        TRAPS.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"
