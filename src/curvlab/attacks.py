"""Attacks on a classifier within an l2 or l-infinity ball, boxed to the pixels' range.

An attack sees `model`, a function from `(B, *shape)` to logits `(B, C)`, in the state in which it
is to be attacked: call `model.eval()` first. Each step costs one input gradient and no gradient
of a weight. An example counts as fooled unless its own logit is strictly the largest, so ties
and NaN count against the model.

An attack that fails proves nothing. What it finds is an upper bound on robustness, to be laid
beside a certificate from `curvlab.bounds`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from curvlab.calculus import Field, per_example, require_batch
from curvlab.losses import check_labels, margin_cross_entropy
from curvlab.spectrum import random_like

Norm = Literal["l2", "linf"]
ClassifierLoss = Callable[[Tensor, Tensor], Tensor]
Box = tuple[float, float] | None
UNIT_BOX = (0.0, 1.0)


class Adversarial(NamedTuple):
    """The strongest point found for each example."""

    x: Tensor  # (B, *shape)
    loss: Tensor  # (B,), of the attacked loss at x
    fooled: Tensor  # (B,), bool


class Ball:
    """The points within `eps` of each example and inside the box; the centres lie in the box.

    `eps` is one budget or one for each example. Scaling into the ball and then clipping to the
    box stays in both, because a clip moves no coordinate away from a centre inside the box.
    """

    def __init__(self, x: Tensor, eps: float | Tensor, norm: Norm, box: Box = UNIT_BOX):
        if norm not in ("l2", "linf"):
            raise ValueError(f"requires 'l2' or 'linf'. Found {norm!r}.")
        self.center, self.norm, self.box = require_batch(x, "input").detach(), norm, box
        budgets = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
        if budgets.dim() and budgets.shape != x.shape[:1]:
            raise ValueError(f"requires one eps or ({len(x)},). Found {tuple(budgets.shape)}.")
        if not bool(((budgets >= 0) & budgets.isfinite()).all()):
            raise ValueError(f"requires a finite eps >= 0. Found {float(budgets.min())}.")
        self.eps = budgets.expand(len(x)).view(-1, *[1] * (x.dim() - 1))
        if box is not None and not (box[0] <= float(x.min()) and float(x.max()) <= box[1]):
            found = f"{float(x.min()):g} to {float(x.max()):g}"
            raise ValueError(f"requires inputs in [{box[0]:g}, {box[1]:g}]. Found {found}.")

    def only(self, keep: Tensor) -> "Ball":
        """The balls of some of the examples."""
        return Ball(self.center[keep], self.eps[keep].flatten(), self.norm, self.box)

    def project(self, point: Tensor) -> Tensor:
        """A point of the ball and the box near `point`; points inside stay."""
        delta = point - self.center
        if self.norm == "linf":
            delta = torch.clamp(delta, -self.eps, self.eps)
        else:
            length = torch.linalg.vector_norm(delta.flatten(1), dim=1).view_as(self.eps)
            delta = delta * (self.eps / length.clamp_min(1e-30)).clamp_max(1)
        moved = self.center + delta
        return moved if self.box is None else moved.clamp(*self.box)

    def random(self, generator: Generator | None) -> Tensor:
        """A random start: uniform in the ball, then clipped to the box."""
        if self.norm == "linf":
            return self.project(self.center + self.eps * (2 * uniform(self.center, generator) - 1))
        direction = steepest(random_like(self.center, generator), "l2")
        radius = uniform(self.eps, generator) ** (1 / self.center[0].numel())
        return self.project(self.center + self.eps * radius * direction)

    def step(self, point: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """One projected step of steepest ascent.

        Components that push a pixel out of the box are dropped first: in l2 they would use up
        the step's length for nothing.
        """
        if self.box is not None and self.norm == "l2":
            out = (point <= self.box[0]) & (gradient < 0) | (point >= self.box[1]) & (gradient > 0)
            gradient = gradient.masked_fill(out, 0)
        return self.project(point + size * steepest(gradient, self.norm))


def fgsm(
    model: Field,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: Norm = "linf",
    *,
    loss: ClassifierLoss = margin_cross_entropy,
    box: Box = UNIT_BOX,
) -> Adversarial:
    """One full step from the example itself (Goodfellow et al., 2015); in l2 along the gradient.

    >>> found = fgsm(lambda x: x, torch.tensor([[0.6, 0.4]]), torch.tensor([0]), eps=0.2)
    >>> found.x, found.fooled
    (tensor([[0.4000, 0.6000]]), tensor([True]))
    """
    ball = Ball(x, eps, norm, box)
    _, _, gradient = evaluate(model, ball.center, y, loss)
    point = ball.step(ball.center, gradient, ball.eps)
    logits, value = _values(model, point, y, loss)
    return Adversarial(point, value, fools(logits, y))


def pgd(
    model: Field,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: Norm = "linf",
    *,
    steps: int = 20,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    loss: ClassifierLoss = margin_cross_entropy,
    box: Box = UNIT_BOX,
    keep: Literal["fooled", "loss"] = "fooled",
    drop_fooled: bool = False,
    generator: Generator | None = None,
) -> Adversarial:
    """Projected gradient ascent with restarts (Madry et al., 2018); the best point ever seen.

    Best is a fooling point before any other and then the higher loss; with `keep="loss"` the
    higher loss alone. `drop_fooled` stops attacking an example once it is fooled, which is all
    that an accuracy needs. The step is `2.5 eps / steps` unless given.

    >>> model = torch.nn.Linear(2, 3)
    >>> x, y = torch.rand(4, 2), torch.tensor([0, 1, 2, 0])
    >>> found = pgd(model, x, y, eps=0.1, generator=torch.Generator().manual_seed(0))
    >>> bool(((found.x - x).abs() <= 0.1 + 1e-6).all())
    True
    """
    _check_steps(steps, restarts, random_start)
    best = _Best(model, x, y, loss, keep)
    for _ in range(restarts):
        rows = best.remaining(drop_fooled)
        if not len(rows):
            break
        ball = Ball(x[rows], _rows(eps, rows), norm, box)
        size = 2.5 * ball.eps / steps if step_size is None else step_size
        point = ball.random(generator) if random_start else ball.center
        for _ in range(steps):
            logits, value, gradient = evaluate(model, point, y[rows], loss)
            best.update(rows, point, logits, value)
            point = ball.step(point, gradient, size)
            if drop_fooled and bool((fooled := best.fooled[rows]).any()):
                rows, point = rows[~fooled], point[~fooled]
                if not len(rows):
                    break
                ball = ball.only(~fooled)
                size = size[~fooled] if isinstance(size, Tensor) else size
        if len(rows):
            best.update(rows, point, *_values(model, point, y[rows], loss))
    return best.result()


def pgd_last(
    model: Field,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: Norm = "linf",
    *,
    steps: int = 7,
    step_size: float | None = None,
    random_start: bool = True,
    loss: ClassifierLoss = margin_cross_entropy,
    box: Box = UNIT_BOX,
    generator: Generator | None = None,
) -> Tensor:
    """The last iterate of projected gradient ascent, as adversarial training uses it.

    Exactly `steps` input gradients and nothing more: the point is not evaluated.

    >>> x = torch.tensor([[0.6, 0.4]])
    >>> pgd_last(lambda x: x, x, torch.tensor([0]), eps=0.1)
    tensor([[0.5000, 0.5000]])
    """
    _check_steps(steps, 1, random_start)
    ball = Ball(x, eps, norm, box)
    size = 2.5 * ball.eps / steps if step_size is None else step_size
    point = ball.random(generator) if random_start else ball.center
    for _ in range(steps):
        point = ball.step(point, evaluate(model, point, y, loss)[2], size)
    return point


class _Best:
    """The best point of each example so far; it starts with the clean one."""

    def __init__(self, model: Field, x: Tensor, y: Tensor, loss: ClassifierLoss, keep: str):
        if keep not in ("fooled", "loss"):
            raise ValueError(f"requires keep='fooled' or 'loss'. Found {keep!r}.")
        self.keep, self.x = keep, require_batch(x, "input").detach().clone()
        logits, self.loss = _values(model, self.x, y, loss)
        self.y, self.fooled = y, fools(logits, y)

    def remaining(self, drop_fooled: bool) -> Tensor:
        wanted = ~self.fooled if drop_fooled else torch.ones_like(self.fooled)
        return wanted.nonzero().squeeze(1)

    def update(self, rows: Tensor, point: Tensor, logits: Tensor, value: Tensor) -> Tensor:
        """Take in new points of the examples `rows`; which of them were better."""
        fooled = fools(logits, self.y[rows])
        better = value > self.loss[rows]
        if self.keep == "fooled":
            better = (fooled & ~self.fooled[rows]) | ((fooled == self.fooled[rows]) & better)
        chosen = rows[better]
        self.x[chosen], self.loss[chosen] = point[better], value[better]
        self.fooled[chosen] = fooled[better]
        return better

    def result(self) -> Adversarial:
        return Adversarial(self.x, self.loss, self.fooled)


def evaluate(
    model: Field, point: Tensor, y: Tensor, loss: ClassifierLoss
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, loss and input gradient of each example, from one graph."""
    with torch.enable_grad():
        leaf = point.detach().requires_grad_()
        logits = model(leaf)
        check_labels(logits, y)
        value = per_example(loss(logits, y), len(leaf))
    gradient = torch.zeros_like(leaf)
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), leaf, materialize_grads=True)
    return logits.detach(), value.detach(), gradient


def fools(logits: Tensor, y: Tensor) -> Tensor:
    """Where the own logit is not strictly the largest: `(B,)`.

    >>> fools(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 0]))
    tensor([False,  True])
    """
    own = logits.gather(1, y.unsqueeze(1)).squeeze(1)
    return ~(own > logits.scatter(1, y.unsqueeze(1), float("-inf")).amax(1))


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The direction of steepest ascent of unit length in `norm`; zero where the gradient is.

    Scaled by its largest entry first: the squares of a confident network's gradient underflow.
    """
    if norm == "linf":
        return gradient.sign()
    flat = gradient.flatten(1)
    largest = flat.abs().amax(1, keepdim=True)
    flat = flat / torch.where(largest > 0, largest, 1)
    return torch.nn.functional.normalize(flat, dim=1).view_as(gradient)


def uniform(like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform noise in [0, 1) in the shape of `like`, drawn where the generator lives."""
    source = like.device if generator is None else generator.device
    noise = torch.rand(like.shape, dtype=like.dtype, device=source, generator=generator)
    return noise.to(like.device)


@torch.no_grad()
def _values(model: Field, point: Tensor, y: Tensor, loss: ClassifierLoss) -> tuple[Tensor, Tensor]:
    logits = model(point)
    check_labels(logits, y)
    return logits, per_example(loss(logits, y), len(point))


def _rows(eps: float | Tensor, rows: Tensor) -> float | Tensor:
    return eps[rows] if isinstance(eps, Tensor) and eps.dim() else eps


def _check_steps(steps: int, restarts: int, random_start: bool) -> None:
    for name, found in (("step", steps), ("restart", restarts)):
        if found < 1:
            raise ValueError(f"requires at least one {name}. Found {found}.")
    if restarts > 1 and not random_start:
        raise ValueError("requires a random start for each restart. Found random_start=False.")
