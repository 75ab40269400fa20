"""Attacks on a classifier within an l2 or l-infinity ball, boxed to the pixels' range.

An attack sees `model`, a function from `(B, *shape)` to logits `(B, C)`, in the state in which it
is to be attacked: call `model.eval()` first. Each step costs one input gradient and no gradient
of a weight. An example counts as fooled unless its own logit is strictly the largest, so ties
and NaN count against the model.

An attack that fails proves nothing. What it finds is an upper bound on robustness, to be laid
beside a certificate from `curvlab.bounds`.
"""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
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

    def only(self, rows: Tensor) -> "Ball":
        """The balls of some of the examples, by their indices or a mask."""
        return Ball(self.center[rows], self.eps[rows].flatten(), self.norm, self.box)

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

    def linear_maximum(self, gradient: Tensor) -> Tensor:
        """The point of the ball and the box where `gradient . delta` is largest.

        In l2 it is `clip(t gradient)` with the `t` that makes it as long as allowed: the
        Kuhn-Tucker conditions. The length grows with `t`, so bisection finds it.
        """
        toward = steepest(gradient, self.norm)
        if self.norm == "linf" or self.box is None:
            return self.project(self.center + self.eps * toward)
        low, high = (bound - self.center for bound in self.box)
        room = torch.where(toward > 0, high, low).abs()
        inner = torch.zeros_like(self.eps)
        # at outer every coordinate with a gradient is at its bound, or the ball is left
        ratio = torch.where(toward != 0, room / toward.abs(), 0).flatten(1).amax(1)
        outer = torch.maximum(ratio.view_as(inner), self.eps)
        for _ in range(60):
            t = (inner + outer) / 2
            moved = torch.minimum(t * toward.abs(), room).flatten(1)
            inside = torch.linalg.vector_norm(moved, dim=1).view_as(t) <= self.eps
            inner, outer = torch.where(inside, t, inner), torch.where(inside, outer, t)
        return self.project(self.center + toward.sign() * torch.minimum(outer * toward.abs(), room))

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
    """The point of the ball and the box where the linearized loss is largest.

    In l-infinity a full step along the gradient's signs (Goodfellow et al., 2015). Where the loss
    grows with an affine function, as for two classes and an affine network, no attack does better.

    >>> found = fgsm(lambda x: x, torch.tensor([[0.6, 0.4]]), torch.tensor([0]), eps=0.2)
    >>> found.x, found.fooled
    (tensor([[0.4000, 0.6000]]), tensor([True]))
    """
    ball = Ball(x, eps, norm, box)
    _, _, gradient = evaluate(model, ball.center, y, loss)
    point = ball.linear_maximum(gradient)
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
    whole, best = Ball(x, eps, norm, box), _Best(model, x, y, loss, keep)
    for _ in range(restarts):
        rows = best.remaining(drop_fooled)
        if not len(rows):
            break
        ball = whole.only(rows)
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


class _Run(NamedTuple):
    """What one example carries along a run of `apgd`."""

    point: Tensor
    previous: Tensor
    gradient: Tensor
    size: Tensor
    value: Tensor
    peak_point: Tensor
    peak_gradient: Tensor
    peak: Tensor
    peak_before: Tensor  # at the last checkpoint
    rises: Tensor  # since the last checkpoint
    halved: Tensor  # at the last checkpoint


def apgd(
    model: Field,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: Norm = "linf",
    *,
    steps: int = 100,
    restarts: int = 1,
    loss: ClassifierLoss = margin_cross_entropy,
    box: Box = UNIT_BOX,
    keep: Literal["fooled", "loss"] = "fooled",
    drop_fooled: bool = False,
    generator: Generator | None = None,
) -> Adversarial:
    """Ascent with momentum whose step halves itself (Auto-PGD, Croce & Hein, 2020).

    The step starts at `2 eps`. At each checkpoint an example whose loss rose too seldom, or whose
    peak stands where it stood with the same step, halves it and returns to its peak. No step size
    is left to choose. `loss` may be `dlr_loss`.

    >>> found = apgd(lambda x: x, torch.tensor([[0.6, 0.4]]), torch.tensor([0]), eps=0.2)
    >>> found.x, found.fooled
    (tensor([[0.4000, 0.6000]]), tensor([True]))
    """
    _check_steps(steps, restarts, random_start=True)
    whole, best = Ball(x, eps, norm, box), _Best(model, x, y, loss, keep)
    marks = checkpoints(steps)
    for _ in range(restarts):
        rows = best.remaining(drop_fooled)
        if not len(rows):
            break
        ball = whole.only(rows)
        start = ball.random(generator)
        logits, value, gradient = evaluate(model, start, y[rows], loss)
        best.update(rows, start, logits, value)
        none = torch.zeros_like(value)
        run = _Run(
            *(start, start, gradient, 2 * ball.eps, value),
            *(start, gradient, value, value, none, torch.ones_like(best.fooled[rows])),
        )
        for step in range(1, steps + 1):
            if drop_fooled and bool((fooled := best.fooled[rows]).any()):
                rows, run = rows[~fooled], _Run(*(part[~fooled] for part in run))
                if not len(rows):
                    break
                ball = ball.only(~fooled)
            point = _with_momentum(ball, run, 1.0 if step == 1 else 0.75)
            logits, value, gradient = evaluate(model, point, y[rows], loss)
            best.update(rows, point, logits, value)
            run = _advance(run, point, value, gradient)
            if step in marks:
                run = _checkpoint(run, marks[step])
    return best.result()


def checkpoints(steps: int) -> dict[int, int]:
    """Auto-PGD's checkpoints and the steps since the one before: denser towards the end.

    >>> checkpoints(100)
    {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6}
    """
    length, shrink, shortest = (max(int(part * steps), 1) for part in (0.22, 0.03, 0.06))
    marks, at = {}, length
    while at <= steps:
        marks[at] = length
        length = max(length - shrink, shortest)
        at += length
    return marks


def _with_momentum(ball: Ball, run: _Run, weight: float) -> Tensor:
    ahead = ball.step(run.point, run.gradient, run.size)
    inertia = run.point - run.previous
    return ball.project(run.point + weight * (ahead - run.point) + (1 - weight) * inertia)


def _advance(run: _Run, point: Tensor, value: Tensor, gradient: Tensor) -> _Run:
    higher, wide = value > run.peak, (value > run.peak).view_as(run.size)
    return run._replace(
        point=point,
        previous=run.point,
        gradient=gradient,
        value=value,
        peak_point=torch.where(wide, point, run.peak_point),
        peak_gradient=torch.where(wide, gradient, run.peak_gradient),
        peak=torch.where(higher, value, run.peak),
        rises=run.rises + (value > run.value),
    )


def _checkpoint(run: _Run, length: int) -> _Run:
    stuck = (run.rises <= 0.75 * length) | (~run.halved & (run.peak <= run.peak_before))
    wide = stuck.view_as(run.size)
    return run._replace(
        size=torch.where(wide, run.size / 2, run.size),
        point=torch.where(wide, run.peak_point, run.point),
        gradient=torch.where(wide, run.peak_gradient, run.gradient),
        peak_before=run.peak,
        rises=torch.zeros_like(run.rises),
        halved=stuck,
    )


def dlr_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein, 2020): the margin over the top-three spread.

    It does not change when the logits are shifted or scaled, so no scale can hide its gradient.

    >>> dlr_loss(torch.tensor([[4.0, 3.0, 0.0]]), torch.tensor([0]))
    tensor([-0.2500])
    """
    check_labels(logits, y)
    if logits.shape[1] < 3:
        raise ValueError(f"requires at least three classes for DLR. Found {logits.shape[1]}.")
    own = logits.gather(1, y.unsqueeze(1)).squeeze(1)
    other = logits.scatter(1, y.unsqueeze(1), float("-inf")).amax(1)
    top = logits.topk(3, dim=1).values
    return (other - own) / (top[:, 0] - top[:, 2] + 1e-12)


class Minimal(NamedTuple):
    """The nearest fooling point found: an upper bound on the distance to the boundary."""

    distance: (
        Tensor  # (B,), zero where the clean point is misclassified, infinite where none fooled
    )
    x: Tensor  # (B, *shape)


def minimal_norm(
    model: Field,
    x: Tensor,
    y: Tensor,
    norm: Norm = "l2",
    *,
    rounds: int = 12,
    steps: int = 20,
    restarts: int = 1,
    first: float | None = None,
    targeted: bool = False,
    loss: ClassifierLoss = margin_cross_entropy,
    box: Box = UNIT_BOX,
    generator: Generator | None = None,
) -> Minimal:
    """A fooling point of small norm for each example, by bisection over its budget.

    A budget doubles from `first` until `pgd` succeeds and is then bisected; what counts is the
    distance of the point found, which is last pulled towards the example along their segment.
    Cross-entropy follows the likeliest class, not the nearest. With `targeted` every class is
    tried as well, on its own margin, and kept at where it comes closer: slower and stronger.

    >>> found = minimal_norm(lambda x: x, torch.tensor([[0.75, 0.25]]), torch.tensor([0]))
    >>> 0.3535 < found.distance.item() < 0.36  # the boundary is 0.5 / sqrt(2) away
    True
    """
    if rounds < 1:
        raise ValueError(f"requires at least one round. Found {rounds}.")
    if first is not None and not 0 < first < math.inf:
        raise ValueError(f"requires a positive first budget. Found {first}.")
    start = (0.5 if norm == "l2" else 0.02) if first is None else first
    Ball(x, start, norm, box)
    clean = _Best(model, x, y, loss, "fooled")
    nearest, distance = clean.x, torch.where(clean.fooled, 0.0, torch.inf).to(x.dtype)
    classes = _values(model, x[:1], y[:1], loss)[0].shape[1] if targeted else 0
    aims: list[ClassifierLoss] = [partial(_margin_to, target=target) for target in range(classes)]
    for aim in (loss, *aims):
        rows, failed = (~clean.fooled).nonzero().squeeze(1), torch.zeros_like(distance)
        for number in range(rounds):
            if not len(rows):
                break
            low, high = failed[rows], distance[rows]
            guess = torch.where(low > 0, 2 * low, start)
            middle = 0.98 * high if aim is not loss and number == 0 else (low + high) / 2
            budget = torch.where(high.isfinite(), middle, guess)
            found = pgd(
                *(model, x[rows], y[rows], budget, norm),
                steps=steps, restarts=restarts, loss=aim, box=box, drop_fooled=True,
                generator=generator,
            )  # fmt: skip
            length = _length(found.x - x[rows], norm)
            failed[rows[~found.fooled]] = budget[~found.fooled]
            closer = found.fooled & (length < high)
            nearest[rows[closer]], distance[rows[closer]] = found.x[closer], length[closer]
            if aim is not loss and number == 0:
                rows = rows[closer]
    nearest = _pulled_back(model, x, y, nearest)
    return Minimal(torch.where(distance.isfinite(), _length(nearest - x, norm), distance), nearest)


def _margin_to(logits: Tensor, y: Tensor, target: int) -> Tensor:
    return logits[:, target] - logits.gather(1, y.unsqueeze(1)).squeeze(1)


@torch.no_grad()
def _pulled_back(model: Field, x: Tensor, y: Tensor, far: Tensor) -> Tensor:
    """The first fooling point that bisection meets on each segment from `far` to `x`."""
    near = x
    for _ in range(16):
        middle = (near + far) / 2
        fooled = fools(model(middle), y).view(-1, *[1] * (x.dim() - 1))
        near, far = torch.where(fooled, near, middle), torch.where(fooled, middle, far)
    return far


AutoAttackName = Literal["apgd-ce", "apgd-t", "fab-t", "square", "apgd-dlr", "fab"]
STANDARD: tuple[AutoAttackName, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")


def autoattack(
    model: Field,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: Norm = "linf",
    *,
    attacks: Sequence[AutoAttackName] = STANDARD,
    seed: int = 0,
    batch_size: int = 250,
    queries: int = 5000,
) -> Adversarial:
    """AutoAttack (Croce & Hein, 2020) as `pyautoattack` runs it, on images in [0, 1].

    The default is its standard version; with fewer than ten classes every other class is a
    target. It works in float32. Which examples are fooled is found again here from the points it
    returns. The global random state, trace function and default type are as before.
    """
    from pyautoattack import AutoAttack

    Ball(x, eps, norm)  # refuses what AutoAttack would take without a word
    if x.dim() != 4:
        raise ValueError(f"requires images (B, C, H, W). Found {tuple(x.shape)}.")
    if batch_size < 1 or queries < 1:
        raise ValueError(f"requires batch_size, queries >= 1. Found {batch_size}, {queries}.")
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    if classes < 4:
        raise ValueError(f"requires at least four classes for AutoAttack. Found {classes}.")

    def in_float32(points: Tensor) -> Tensor:
        return model(points.to(x.dtype)).float()

    trace, devices = sys.gettrace(), [x.device] if x.is_cuda else []
    default = torch.get_default_dtype()
    with torch.random.fork_rng(devices=devices):
        library = AutoAttack(
            in_float32, device=x.device, eps=eps, seed=seed,
            norm={"l2": "L2", "linf": "Linf"}[norm],
        )  # fmt: skip
        library.attacks_to_run = list(attacks)
        library.apgd_targeted.n_target_classes = library.fab.n_target_classes = min(9, classes - 1)
        library.square.n_queries = queries
        try:
            torch.set_default_dtype(torch.float32)  # of tensors that the library makes
            found, _ = library.run_standard_evaluation(x.float(), y, batch_size=batch_size)
        finally:
            sys.settrace(trace)
            torch.set_default_dtype(default)
    found = found.to(x.dtype)
    logits, value = _values(model, found, y, margin_cross_entropy)
    return Adversarial(found, value, fools(logits, y))


class MaskingReport(NamedTuple):
    """Shares of all examples that stay correct under each attack, and what they give away."""

    clean: float
    one_step: float
    cross_entropy: float
    dlr: float
    black_box: float
    unbounded: float  # under gradient attacks free to choose any image
    zero_gradients: float  # share of correct examples whose loss gradient is exactly zero
    flags: tuple[str, ...]  # empty when nothing points to masked gradients


def masking_report(
    model: Field,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: Norm = "linf",
    *,
    steps: int = 50,
    queries: int = 1000,
    tolerance: float = 0.02,
    seed: int = 0,
) -> MaskingReport:
    """Signs that gradients mislead an attack (Athalye et al., 2018; Carlini et al., 2019).

    Auto-PGD on cross-entropy, Auto-PGD on DLR and the black-box Square attack see the same
    examples. Each sign is a difference of accuracies above `tolerance`. None of them is a proof,
    and a report without flags is none either.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"requires 0 <= tolerance < 1. Found {tolerance}.")
    generator = torch.Generator(x.device).manual_seed(seed)

    def gradients(loss: ClassifierLoss, budget: float) -> Tensor:
        found = apgd(
            *(model, x, y, budget, norm),
            steps=steps, loss=loss, drop_fooled=True, generator=generator,
        )  # fmt: skip
        return found.fooled

    def surviving(fooled: Tensor) -> float:
        return float((~fooled).double().mean())

    logits, _, gradient = evaluate(model, x, y, margin_cross_entropy)
    misread = fools(logits, y)
    still = (gradient == 0).flatten(1).all(1) & ~misread
    by_ce, by_dlr = gradients(margin_cross_entropy, eps), gradients(dlr_loss, eps)
    square = autoattack(model, x, y, eps, norm, attacks=("square",), queries=queries, seed=seed)
    everything = 1.0 if norm == "linf" else math.sqrt(x[0].numel())
    free = gradients(margin_cross_entropy, everything) | gradients(dlr_loss, everything)
    report = MaskingReport(
        clean=surviving(misread),
        one_step=surviving(fgsm(model, x, y, eps, norm).fooled),
        cross_entropy=surviving(by_ce),
        dlr=surviving(by_dlr),
        black_box=surviving(square.fooled),
        unbounded=surviving(free),
        zero_gradients=float(still.sum() / (~misread).sum().clamp_min(1)),
        flags=(),
    )
    signs = {
        "DLR beats cross-entropy: confident logits hide the gradient":
            report.cross_entropy - report.dlr,
        "Square fools what no gradient attack fools":
            float((square.fooled & ~by_ce & ~by_dlr).double().mean()),
        "one step beats many": min(report.cross_entropy, report.dlr) - report.one_step,
        "an unbounded attack fails": report.unbounded,
        "the loss gradient is exactly zero": report.zero_gradients,
    }  # fmt: skip
    return report._replace(flags=tuple(sign for sign, size in signs.items() if size > tolerance))


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


def _length(delta: Tensor, norm: Norm) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(
        delta.flatten(1), 2 if norm == "l2" else math.inf, dim=1
    )
    return length


def _check_steps(steps: int, restarts: int, random_start: bool) -> None:
    for name, found in (("step", steps), ("restart", restarts)):
        if found < 1:
            raise ValueError(f"requires at least one {name}. Found {found}.")
    if restarts > 1 and not random_start:
        raise ValueError("requires a random start for each restart. Found random_start=False.")
