"""The statement checker: every numbered statement of the book is tried on data by a cell that can
fail.

A check names its statement, compares both sides at many points, and prints one stable line. It
fails on a violation, on NaN, on zero points, and when nothing shows that it could fail: each check
carries a *mutation*, the same comparison with the statement broken (a constant halved, a hypothesis
dropped), which must be caught on the same points, or one line that says why the statement is loose.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

__all__ = ["Check", "CheckError", "Record", "check", "printed_checks", "read_ledger"]

LABEL = re.compile(r"(thm|prop|lem|cor)-[a-z0-9]+(-[a-z0-9]+)*")
LINE = re.compile(
    rf"^(?P<label>{LABEL.pattern}): (?P<points>\d+) points?, (?P<violations>\d+) violations?"
    r"(?:; mutations? caught: (?P<mutations>[^;]+))?(?:; loose: (?P<loose>.+))?$"
)
LEDGER = "CURVLAB_LEDGER"


class CheckError(AssertionError):
    """A statement does not hold where it was tried, or its check could not have failed."""


class Record(NamedTuple):
    """What one check found. `tightest` is the largest ratio of a bounded value to its bound (1
    where the bound is attained), `error` the largest difference in the equalities; None where there
    are none. `mutations` maps what was broken to how many points caught it."""

    label: str
    points: int
    violations: int
    tightest: float | None
    error: float | None
    mutations: dict[str, int]
    loose: str | None

    def line(self) -> str:
        """The printed line: only numbers that are the same on every machine."""
        points = f"{self.points} point{'' if self.points == 1 else 's'}"
        violations = f"{self.violations} violation{'' if self.violations == 1 else 's'}"
        line = f"{self.label}: {points}, {violations}"
        if self.mutations:
            plural = "s" if len(self.mutations) > 1 else ""
            line += f"; mutation{plural} caught: {', '.join(self.mutations)}"
        return line + (f"; loose: {self.loose}" if self.loose else "")


@dataclass
class Comparisons:
    """The comparisons of one check, or of one of its mutations."""

    points: int = 0
    violations: int = 0
    worst: float = -math.inf
    where: str = ""
    tightest: float | None = None
    error: float | None = None
    sizes: set[int] = field(default_factory=set)

    def at_most(
        self, values: Any, bound: Any, *, tolerance: float = 0.0, relative: float = 0.0
    ) -> None:
        """Requires values <= bound + tolerance + relative * |bound| at every point."""
        left, right = paired(values, bound)
        self.record(left, right, left - right, tolerance + relative * right.abs(), "<=")
        self.note_ratio(left, right)

    def at_least(
        self, values: Any, bound: Any, *, tolerance: float = 0.0, relative: float = 0.0
    ) -> None:
        """Requires values >= bound - tolerance - relative * |bound| at every point."""
        left, right = paired(values, bound)
        self.record(left, right, right - left, tolerance + relative * right.abs(), ">=")
        self.note_ratio(right, left)

    def close(
        self, values: Any, expected: Any, *, tolerance: float = 0.0, relative: float = 0.0
    ) -> None:
        """Requires |values - expected| <= tolerance + relative * |expected| at every point."""
        left, right = paired(values, expected)
        error = (left - right).abs().where(left != right, torch.zeros_like(left))
        self.record(left, right, error, tolerance + relative * right.abs(), "=")
        if error.numel():
            self.error = max(self.error or 0.0, float(error.max()))

    def equal(self, values: Any, expected: Any) -> None:
        """Requires values == expected exactly, at every point."""
        self.close(values, expected)

    def holds(self, condition: Any) -> None:
        """Requires a condition (of booleans) that is true at every point."""
        truth = torch.as_tensor(condition)
        if truth.dtype != torch.bool:
            raise TypeError(f"holds requires booleans. Found {truth.dtype}.")
        left = truth.detach().cpu().double()
        right = torch.ones_like(left)
        self.record(left, right, right - left, torch.zeros_like(left), "is")

    def record(
        self, left: Tensor, right: Tensor, excess: Tensor, allowed: Tensor, relation: str
    ) -> None:
        if not bool((allowed >= 0).all() | allowed.isnan().any()):
            raise ValueError("requires a tolerance of at least 0.")
        bad = ~(excess <= allowed) | left.isnan() | right.isnan()
        self.points += left.numel()
        self.sizes.add(left.numel())
        self.violations += int(bad.sum())
        if bad.any():
            # NaN ranks above every finite violation: it says that nothing was compared.
            ranked = excess.nan_to_num(nan=math.inf).where(bad, torch.full_like(excess, -math.inf))
            position = int(ranked.argmax())
            if float(ranked.flatten()[position]) >= self.worst:
                self.worst = float(ranked.flatten()[position])
                index = tuple(map(int, torch.unravel_index(torch.tensor(position), bad.shape)))
                found = f"{left.flatten()[position]:.6g}", f"{right.flatten()[position]:.6g}"
                self.where = (
                    f"worst at index {index}: requires {found[0]} {relation} {found[1]}, "
                    f"off by {excess.flatten()[position]:.3g} "
                    f"(allowed {allowed.flatten()[position]:.3g})"
                )

    def note_ratio(self, small: Tensor, large: Tensor) -> None:
        usable = (small > 0) & (large > 0) & large.isfinite()
        if usable.any():
            ratio = float((small[usable] / large[usable]).max())
            self.tightest = max(self.tightest or 0.0, ratio)


class Check(Comparisons):
    """The context manager that `check` returns."""

    def __init__(self, label: str) -> None:
        if not LABEL.fullmatch(label):
            raise ValueError(
                "check requires the label of a statement (thm-, prop-, lem- or cor-, then "
                f"lower-case words joined by hyphens). Found {label!r}."
            )
        super().__init__()
        self.label = label
        self.mutations: dict[str, Comparisons] = {}
        self.reason: str | None = None

    def mutation(self, broken: str) -> Comparisons:
        """The same comparison with the statement broken as `broken` says: it must be caught.

        `c.mutation("K halved").at_most(robust_loss, bound_with_half_K)`
        """
        if not broken or re.search(r"[;,\n]", broken):
            raise ValueError(
                f"mutation requires a few words without commas or semicolons. Found {broken!r}."
            )
        return self.mutations.setdefault(broken, Comparisons())

    def loose(self, why: str) -> None:
        """Says in one line why no mutation of this statement can be caught on these points."""
        if not why.strip() or "\n" in why:
            raise ValueError(f"loose requires one line that says why. Found {why!r}.")
        self.reason = why.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        record = self.verdict()
        print(record.line())
        if folder := os.environ.get(LEDGER):
            append(record, Path(folder))

    def verdict(self) -> Record:
        """The record of this check. Raises CheckError where it is not a pass."""
        if self.points == 0:
            raise CheckError(f"{self.label}: requires at least one point. Found none.")
        if self.violations:
            raise CheckError(
                f"{self.label}: {self.points} points, {self.violations} violations; {self.where}"
            )
        if not self.mutations and self.reason is None:
            raise CheckError(
                f"{self.label}: requires a mutation that must fail on the same points "
                "(c.mutation('constant halved').at_most(...)), or c.loose('why'). Found neither."
            )
        for broken, tried in self.mutations.items():
            if not tried.sizes or not tried.sizes <= self.sizes:
                raise CheckError(
                    f"{self.label}: mutation {broken!r} requires the same points as the check "
                    f"({sorted(self.sizes)} a comparison). Found {sorted(tried.sizes)}."
                )
            if not tried.violations:
                raise CheckError(
                    f"{self.label}: mutation {broken!r} was not caught on {tried.points} points, "
                    f"so this check could not have failed; tightest ratio {self.tightest}"
                )
        caught = {broken: tried.violations for broken, tried in self.mutations.items()}
        return Record(
            self.label, self.points, 0, self.tightest, self.error, caught, self.reason
        )


def check(label: str) -> Check:
    """Opens the check of the statement `label`.

    >>> import torch
    >>> angle = torch.linspace(0.1, 3.0, 30)
    >>> with check("lem-sine-below-angle") as c:
    ...     c.at_most(angle.sin(), angle)
    ...     c.mutation("bound halved").at_most(angle.sin(), angle / 2)
    lem-sine-below-angle: 30 points, 0 violations; mutation caught: bound halved
    """
    return Check(label)


def paired(values: Any, other: Any) -> tuple[Tensor, Tensor]:
    """Both sides in float64 on the CPU. Only a scalar is expanded: broadcasting (B,) with (B, 1)
    would compare every point with every other."""
    left, right = (
        (side if isinstance(side, Tensor) else torch.as_tensor(np.asarray(side, dtype=float)))
        .detach().cpu().double()
        for side in (values, other)
    )
    if left.shape != right.shape and left.ndim and right.ndim:
        raise ValueError(
            "requires both sides of one shape, or one of them a scalar. "
            f"Found {tuple(left.shape)} and {tuple(right.shape)}."
        )
    shape = left.shape if left.ndim else right.shape
    return left.expand(shape), right.expand(shape)


def append(record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{record.label}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record._asdict()) + "\n")


def read_ledger(folder: str | Path) -> list[Record]:
    """The records that checks left in `folder` (they do when CURVLAB_LEDGER names it), sorted by
    label; equal records, as a notebook leaves that ran twice, count once."""
    records: list[Record] = []
    for path in sorted(Path(folder).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = Record(**json.loads(line))
            if record not in records:
                records.append(record)
    return records


def printed_checks(text: str) -> Iterator[Record]:
    """The checks whose lines `text` (a notebook's output) holds, without the unprinted ratios.

    >>> [record.label for record in printed_checks("thm-sandwich: 512 points, 0 violations")]
    ['thm-sandwich']
    """
    for line in text.splitlines():
        if match := LINE.match(line):
            mutations = match["mutations"].split(", ") if match["mutations"] else []
            yield Record(
                match["label"], int(match["points"]), int(match["violations"]), None, None,
                dict.fromkeys(mutations, 1), match["loose"],
            )
