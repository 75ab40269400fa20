"""Derivatives of per-example losses and networks with respect to their input.

A loss maps a batch `(B, *shape)` to one value for each example, `(B,)`. Examples do not
interact, so the derivative of the sum holds every example's own derivative, and one product
serves the whole batch. What makes examples interact (BatchNorm in training mode) is refused.

An operator is built once: one forward pass and one backward pass that keeps its graph. Each
product is then one more backward pass through that graph (Pearlmutter, 1994), and the last one
may be differentiable in the weights. With dropout the mask is drawn once, when it is built.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]
Field = Callable[[Tensor], Tensor]


def input_gradient(loss: Loss, x: Tensor) -> Tensor:
    """Gradient of each example's loss in its own input: `(B, *shape)`.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> input_gradient(lambda x: (x**2).sum(1), x)
    tensor([[2., 4.],
            [6., 8.]])
    """
    with torch.enable_grad():
        x = leaf(x)
        value = per_example(loss(x), len(x))
        return _pull([value], [x], [torch.ones_like(value)], keep=False)[0]


def hvp(loss: Loss, x: Tensor, v: Tensor) -> Tensor:
    """Hessian of each example's loss times its own `v` (Pearlmutter, 1994).

    >>> x, v = torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
    >>> hvp(lambda x: x[:, 0] ** 2 * x[:, 1], x, v)
    tensor([[2., 2.]])
    """
    return hessian_operator(loss, x)(v)


def jvp(f: Field, x: Tensor, v: Tensor) -> Tensor:
    """Jacobian of `f` at each example times its own `v`: a change of output.

    >>> jvp(lambda x: x**2, torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([[2., 6.]])
    """
    return jacobian_operator(f, x).apply(v)


def vjp(f: Field, x: Tensor, u: Tensor) -> Tensor:
    """Transposed Jacobian of `f` at each example times its own `u`: a gradient in the input.

    >>> vjp(lambda x: x**2, torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([[0., 6.]])
    """
    return jacobian_operator(f, x).transpose(u)


class HessianOperator:
    """Products with the Hessian of `value` in `variables`, from one graph.

    `operator(v)` is `Hv`, `operator(v, differentiable=True)` can be differentiated in the
    weights. `value` and `gradient` belong to the same graph.
    """

    def __init__(self, value: Tensor, variables: Sequence[Tensor], shape: torch.Size):
        self.value, self._variables, self._shape = value, variables, shape
        self._gradients = _pull([value], variables, [torch.ones_like(value)], keep=True)
        self.gradient = self._pack(self._gradients)

    def __call__(self, v: Tensor, differentiable: bool = False) -> Tensor:
        require_like(v, self.gradient, "vector")
        parts = torch.split(v.reshape(-1), [x.numel() for x in self._variables])
        seeds = [part.view_as(x) for part, x in zip(parts, self._variables, strict=True)]
        return self._pack(_pull(self._gradients, self._variables, seeds, differentiable))

    def _pack(self, parts: Sequence[Tensor]) -> Tensor:
        flat = [part.reshape(-1) for part in parts]
        return (flat[0] if len(flat) == 1 else torch.cat(flat)).reshape(self._shape)


def hessian_operator(loss: Loss, x: Tensor) -> HessianOperator:
    """The Hessians of a batch of losses in their inputs, as one operator on `(B, *shape)`.

    >>> operator = hessian_operator(lambda x: (x**3).sum(1) / 6, torch.tensor([[1.0, 2.0]]))
    >>> operator(torch.tensor([[1.0, 1.0]]))
    tensor([[1., 2.]])
    >>> operator.gradient.detach()
    tensor([[0.5000, 2.0000]])
    """
    with torch.enable_grad():
        x = leaf(x)
        return HessianOperator(per_example(loss(x), len(x)), [x], x.shape)


def parameter_hessian(loss: Callable[[nn.Module], Tensor], model: nn.Module) -> HessianOperator:
    """The Hessian of a scalar loss in the trainable weights, as an operator on `(1, P)`.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> operator = parameter_hessian(lambda m: (m.weight**2).sum(), model)
    >>> operator(torch.tensor([[1.0, 3.0]]))
    tensor([[2., 6.]])
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise ValueError("requires a model with trainable weights. Found none.")
    with torch.enable_grad():
        value = loss(model)
        if value.shape != ():
            raise ValueError(f"requires a scalar loss. Found shape {tuple(value.shape)}.")
        return HessianOperator(value, weights, torch.Size((1, sum(p.numel() for p in weights))))


class JacobianOperator:
    """Products with the Jacobian of `output` in `x`, from one graph.

    `Jv` is the derivative of `u -> J'u` in `u`: two backward passes, on a CPU a fraction of
    forward mode's price.
    """

    def __init__(self, output: Tensor, x: Tensor):
        self.output, self._x = output, x
        self._dual: tuple[Tensor, Tensor] | None = None

    def apply(self, v: Tensor, differentiable: bool = False) -> Tensor:
        """`Jv`, shaped like the output."""
        require_like(v, self._x, "vector")
        if self._dual is None:
            u = torch.zeros_like(self.output).requires_grad_()
            self._dual = u, _pull([self.output], [self._x], [u], keep=True)[0]
        u, pulled = self._dual
        return _pull([pulled], [u], [v], differentiable)[0]

    def transpose(self, u: Tensor, differentiable: bool = False) -> Tensor:
        """`J'u`, shaped like the input."""
        require_like(u, self.output, "covector")
        return _pull([self.output], [self._x], [u], differentiable)[0]

    def matrix(self, differentiable: bool = False) -> Tensor:
        """All rows, one backward pass each: `(B, C, *shape)`; requires outputs `(B, C)`."""
        if self.output.dim() != 2:
            raise ValueError(f"requires outputs (B, C). Found {tuple(self.output.shape)}.")
        units = torch.eye(self.output.shape[1], dtype=self._x.dtype, device=self._x.device)
        rows = [self.transpose(e.expand_as(self.output), differentiable) for e in units]
        return torch.stack(rows, dim=1)

    def gram(self, differentiable: bool = False) -> Tensor:
        """`JJ'`, from all rows: `(B, C, C)`."""
        rows = self.matrix(differentiable).flatten(2)
        return rows @ rows.mT


def jacobian_operator(f: Field, x: Tensor) -> JacobianOperator:
    """The Jacobians of a network at a batch of inputs, as one operator.

    >>> operator = jacobian_operator(lambda x: x @ torch.tensor([[1.0], [2.0]]), torch.ones(1, 2))
    >>> operator.apply(torch.ones(1, 2)), operator.transpose(torch.ones(1, 1)), operator.gram()
    (tensor([[3.]]), tensor([[1., 2.]]), tensor([[[5.]]]))
    """
    with torch.enable_grad():
        x = leaf(x)
        output = refuse_batch_statistics(f(x))
        if output.dim() < 2 or len(output) != len(x):
            raise ValueError(f"requires outputs ({len(x)}, ...). Found {tuple(output.shape)}.")
        return JacobianOperator(output, x)


def gauss_newton_spectrum(model: Field, x: Tensor, differentiable: bool = False) -> Tensor:
    """Eigenvalues of `S^1/2 J J' S^1/2`, `S = diag(p) - pp'`, ascending: `(B, C)`.

    They are the non-zero spectrum of the Gauss-Newton part `J'SJ` of the input Hessian of
    cross-entropy (Schraudolph, 2002), and of all of it where the logits are piecewise linear.

    >>> x = torch.zeros(1, 2)
    >>> gauss_newton_spectrum(lambda x: x, x)  # S itself: p = (1/2, 1/2)
    tensor([[0.0000, 0.5000]])
    """
    root = gauss_newton_root(jacobian_operator(model, x), differentiable)
    values: Tensor = torch.linalg.eigvalsh(root @ root.mT)
    return values


def gauss_newton_root(logits: JacobianOperator, differentiable: bool = False) -> Tensor:
    """`M` of shape `(B, C, d)` with `M'M = J'SJ`, from all rows of J.

    With `q = sqrt(p)` and `R = diag(q) (I - qq')`, `S = RR'` and `M = R'J`. Where some p_k is near
    one, what `1 - p_k` loses by rounding reaches the eigenvalues squared: confident examples keep
    their digits.

    >>> root = gauss_newton_root(jacobian_operator(lambda x: x, torch.zeros(1, 2)))
    >>> root.mT @ root  # S itself
    tensor([[[ 0.2500, -0.2500],
             [-0.2500,  0.2500]]])
    """
    rows = logits.matrix(differentiable).flatten(2)
    z = logits.output if differentiable else logits.output.detach()
    q = (z.log_softmax(1) / 2).exp()
    identity = torch.eye(q.shape[1], dtype=q.dtype, device=q.device)
    projector = identity - q.unsqueeze(2) * q.unsqueeze(1)
    return projector * q.unsqueeze(1) @ (rows - rows.mean(1, keepdim=True))


def leaf(x: Tensor) -> Tensor:
    """A detached copy of a batch that records derivatives; what cannot carry them is refused."""
    return require_batch(x, "input").detach().clone().requires_grad_()


def require_batch(x: Tensor, name: str) -> Tensor:
    """`x`, if it is a non-empty, finite batch of float32 or float64 examples."""
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"requires a float32 or float64 {name}. Found {x.dtype}.")
    if x.dim() < 2 or x.numel() == 0:
        raise ValueError(f"requires a non-empty {name} (B, *shape). Found {tuple(x.shape)}.")
    if not bool(x.isfinite().all()):
        raise ValueError(f"requires a finite {name}. Found NaN or infinity.")
    return x


def per_example(value: Tensor, size: int) -> Tensor:
    """`value`, if it is one number for each of `size` examples that do not interact."""
    if value.shape != (size,):
        raise ValueError(f"expected per-example losses of shape ({size},), got {(*value.shape,)}")
    return refuse_batch_statistics(value)


def refuse_batch_statistics(output: Tensor) -> Tensor:
    """`output`, if no BatchNorm in training mode is in its graph."""
    seen: set[Any] = {None}
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            trains = "BatchNorm" in node.name() and getattr(node, "_saved_training", False)
            # InstanceNorm runs the same kernel on a batch of one, without running statistics
            if trains and (len(node._saved_input) > 1 or node._saved_running_mean is not None):
                raise ValueError("requires model.eval(). Found BatchNorm in training mode.")
            stack.extend(parent for parent, _ in node.next_functions)
    return output


def require_like(v: Tensor, like: Tensor, name: str) -> None:
    """Raise unless `v` has the shape, dtype and device of `like`."""
    wanted, found = (f"{tuple(t.shape)}, {t.dtype}, {t.device}" for t in (like, v))
    if wanted != found:
        raise ValueError(f"requires a {name} of shape {wanted}. Found {found}.")


def _pull(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Tensor], keep: bool
) -> Sequence[Tensor]:
    """Seeds pulled back from outputs to inputs, on a kept graph; exact zeros where none leads."""
    if torch.is_inference_mode_enabled():
        raise RuntimeError("requires a recorded graph. Found inference_mode: use torch.no_grad().")
    live = [pair for pair in zip(outputs, seeds, strict=True) if pair[0].requires_grad]
    if not live:
        return [torch.zeros_like(x) for x in inputs]
    heads, tails = zip(*live, strict=True)
    return torch.autograd.grad(
        heads, inputs, tails, retain_graph=True, create_graph=keep, materialize_grads=True
    )
