"""Distance of a Jacobian or Hessian from a matrix with a wanted structure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from curvlab.calculus import (
    Field,
    hessian_operator,
    jacobian_operator,
)
from curvlab.penalties.shared import (
    length,
    probe,
    require_count,
    require_one_of,
    squared,
    top_direction,
)
from curvlab.spectrum import random_like

Product = Callable[[Tensor, bool], Tensor]


class Products(NamedTuple):
    """A matrix for each example, given by its products with vectors."""

    apply: Callable[[Tensor], Tensor]
    transpose: Callable[[Tensor], Tensor]


class FieldTerms(NamedTuple):
    """The function's own output, for whatever loss it is trained by, and the penalty."""

    output: Tensor  # f(x)
    penalty: Tensor  # (B,)


TARGETS = ("zero", "symmetry", "diagonality")


@dataclass(frozen=True)
class SpectralTarget:
    """The squared spectral norm of A - A0 at each example (Cui et al., 2022), or the norm.

    A is the Jacobian of a function `f` from `(B, *shape)` to `(B, ...)`, or the Hessian of one
    from `(B, *shape)` to `(B,)`. The target A0 is "zero"; "symmetry", the transpose of A, so that
    a field becomes a gradient; "diagonality", the diagonal matrix of A's row sums, so that
    coordinates do not interact (for a symmetric A, A - A0 is minus the graph Laplacian of its
    off-diagonal entries, and it is zero exactly where A is diagonal); or any `Products`.

    A left singular vector u is found on (A - A0)(A - A0)' from a random start by `steps` products
    of "lanczos" or "power" (on A - A0 itself where it is symmetric), held fixed, and |(A - A0)'u|
    is differentiated in the weights of both A and A0. "hutchinson" iterates nothing: for one
    random u of signs the square is the squared Frobenius norm in the mean, up to the rank times
    the squared spectral norm, so compare the two at matched strengths.

    >>> W = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    >>> terms = SpectralTarget("jacobian", "symmetry", steps=2)(lambda x: x @ W.T, torch.ones(1, 2))
    >>> terms.penalty.round(decimals=4)  # W - W' turns by a right angle and doubles
    tensor([4.])
    """

    of: Literal["jacobian", "hessian"] = "jacobian"
    target: Literal["zero", "symmetry", "diagonality"] | Products = "zero"
    method: Literal["lanczos", "power", "hutchinson"] = "lanczos"
    steps: int = 3
    squared: bool = True

    def __post_init__(self) -> None:
        require_one_of(("jacobian", "hessian"), self.of)
        require_one_of(("lanczos", "power", "hutchinson"), self.method)
        require_count("steps", self.steps)
        if not isinstance(self.target, Products):
            require_one_of(TARGETS, self.target)
        if self.of == "hessian" and self.target == "symmetry":
            raise ValueError("requires a Jacobian for symmetry. Found a Hessian: it has it always.")

    def __call__(self, f: Field, x: Tensor, *, generator: Generator | None = None) -> FieldTerms:
        with torch.enable_grad():
            difference = self._difference(f, x)
            u = self._direction(difference, generator)
            pulled = difference.transpose(u, differentiable=True)
        return FieldTerms(difference.output, squared(pulled) if self.squared else length(pulled))

    def _difference(self, f: Field, x: Tensor) -> "_Difference":
        if self.of == "hessian":
            hessian = hessian_operator(f, x)
            return _Difference(hessian.value, x, hessian, hessian, self.target)
        jacobian = jacobian_operator(f, x)
        if self.target in ("symmetry", "diagonality") and jacobian.output.shape != x.shape:
            wanted, found = tuple(x.shape), tuple(jacobian.output.shape)
            raise ValueError(f"requires a square Jacobian, outputs {wanted}. Found {found}.")
        output, apply, pull = jacobian.output, jacobian.apply, jacobian.transpose
        return _Difference(output, output.detach(), apply, pull, self.target)

    def _direction(self, difference: "_Difference", generator: Generator | None) -> Tensor:
        if self.method == "hutchinson":
            return probe(difference.like, "rademacher", generator)
        symmetric = self.of == "hessian" and not isinstance(self.target, Products)
        operator = difference.transpose if symmetric else difference.gram
        start = random_like(difference.like, generator)
        return top_direction(operator, start, self.method, self.steps)


class _Difference:
    """Products with A - A0 and its transpose."""

    def __init__(
        self, output: Tensor, like: Tensor, apply: Product, pull: Product, target: str | Products
    ):
        self.output, self.like, self.target = output, like, target
        self._apply, self._pull = apply, pull
        if target == "diagonality":
            self._sums = apply(torch.ones_like(like), True)

    def apply(self, v: Tensor) -> Tensor:
        """`(A - A0) v`."""
        return self._apply(v, False) - self._target(v, self._pull, False)

    def transpose(self, u: Tensor, differentiable: bool = False) -> Tensor:
        """`(A - A0)' u`."""
        return self._pull(u, differentiable) - self._target(u, self._apply, differentiable, True)

    def gram(self, u: Tensor) -> Tensor:
        """`(A - A0)(A - A0)' u`."""
        return self.apply(self.transpose(u))

    def _target(
        self, v: Tensor, turned: Product, differentiable: bool, transposed: bool = False
    ) -> Tensor | float:
        if isinstance(self.target, Products):
            return self.target.transpose(v) if transposed else self.target.apply(v)
        if self.target == "symmetry":
            return turned(v, differentiable)
        if self.target == "diagonality":
            return (self._sums if differentiable else self._sums.detach()) * v
        return 0.0
