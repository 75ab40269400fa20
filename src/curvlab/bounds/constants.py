"""Lipschitz and curvature constants of a whole network, valid everywhere.

The network is read as affine maps `A_1, ..., A_L` with an activation between them. With
`a_I` the input of `A_{I+1}` and `F_I` the gradient of a margin in `a_I`, the margin's Hessian is
`sum_I B_I' diag(F_I sigma'') B_I`, `B_I` the Jacobian of the I-th pre-activation (Singla & Feizi,
2020, lemma 1). Each term is bounded twice, and the smaller bound counts:

- `sigma''` and the entries of `F_I` by their suprema, which leaves a weighted Gram matrix of
  `A_I` (sharper than `|A_I|^2 max_i` in their theorem 4, and one-sided at the last hidden layer,
  where `F_I` is known with its signs: their theorem 3);
- `|F_I| max_i |row_i B_I| |B_I|`, the bound that a composition of Jacobians gives (Entesari et
  al., 2024).

ELU's second derivative jumps at 0, but its slope is 1-Lipschitz, so its mollifications obey the
same bounds and the limit does. A rectifier's slope jumps: its curvature constant is infinite.
All arithmetic is float64, and every constant is rounded up by more than its rounding error. Norms
come from singular values; a power iteration would give lower bounds, which certify nothing.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from curvlab.networks import Softplus

UP = 1 + 1e-9  # exceeds the relative error of a float64 SVD of any matrix met here


class Activation(NamedTuple):
    """What is known of an activation everywhere."""

    slope: tuple[float, float]  # range of the first derivative
    curvature: tuple[float, float]  # range of the second
    derivative: Callable[[Tensor], Tensor]
    turns: tuple[float, ...] = ()  # where the first derivative has its extremes
    offset: float = 0.0  # the value at 0
    error: float = 0.0  # absolute, of PyTorch's evaluation beyond rounding


def activation_ranges(layer: nn.Module) -> Activation:
    """The ranges of an activation's derivatives, rounded outward in the last digit.

    >>> activation_ranges(Softplus(beta=8.0)).curvature
    (0, 2.0)
    """
    match layer:
        case nn.ReLU():
            return Activation((0, 1), (0, math.inf), lambda z: (z > 0).to(z.dtype))
        case Softplus() | nn.Softplus():
            beta = layer.beta
            if isinstance(layer, nn.Softplus) and layer.threshold < 20:
                raise ValueError(f"requires a softplus threshold >= 20. Found {layer.threshold}.")
            return Activation(
                *((0, 1), (0, beta / 4), lambda z: (beta * z).sigmoid()),
                offset=math.log(2) / beta,
                error=2.1e-9 / beta,  # PyTorch returns z where beta z > 20: log1p(exp(-20)) less
            )
        case nn.ELU(alpha=1.0):
            return Activation((0, 1), (0, 1), lambda z: z.clamp(max=0).exp())
        case nn.Tanh():
            bend = 4 / (3 * math.sqrt(3)) * (1 + 1e-15)
            return Activation((0, 1), (-bend, bend), lambda z: 1 - z.tanh() ** 2, (0,))
        case nn.Sigmoid():
            bend = math.sqrt(3) / 18 * (1 + 1e-15)
            return Activation((0, 0.25), (-bend, bend), _logistic_slope, (0,), offset=0.5)
        case nn.GELU(approximate="none"):
            # Phi(z) + z phi(z) turns at +-sqrt(2); (2 - z^2) phi(z) at 0 and +-2
            turns = (-math.sqrt(2), math.sqrt(2))
            return Activation((-0.12891, 1.12891), (-0.10799, 0.79789), _gelu_slope, turns)
        case nn.SiLU():
            # s + z s (1 - s) turns where z tanh(z / 2) = 2
            turns = (-2.3993572805154, 2.3993572805154)
            return Activation((-0.09984, 1.09984), (-0.03692, 0.5), _silu_slope, turns)
    raise ValueError(
        "requires ReLU, Softplus, ELU(alpha=1), Tanh, Sigmoid, exact GELU or SiLU. "
        f"Found {layer!r}."
    )


def _logistic_slope(z: Tensor) -> Tensor:
    return z.sigmoid() * (-z).sigmoid()


def _gelu_slope(z: Tensor) -> Tensor:
    density = (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    slope: Tensor = torch.special.ndtr(z) + z * density
    return slope


def _silu_slope(z: Tensor) -> Tensor:
    return z.sigmoid() * (1 + z * (-z).sigmoid())


def slope_range(activation: Activation, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest slope between `low` and `high`, elementwise.

    >>> slope_range(activation_ranges(nn.Tanh()), torch.tensor([-1.0]), torch.tensor([2.0]))
    (tensor([0.0707]), tensor([1.]))
    """
    points = [low, high, *(low.clamp(min=turn).minimum(high) for turn in activation.turns)]
    slopes = torch.stack([activation.derivative(point) for point in points])
    return slopes.amin(0), slopes.amax(0)


def steepness(activation: Activation) -> float:
    """The Lipschitz constant of an activation."""
    return max(-activation.slope[0], activation.slope[1])


def bend(activation: Activation) -> float:
    """The Lipschitz constant of an activation's slope."""
    return max(-activation.curvature[0], activation.curvature[1])


@dataclass(frozen=True)
class Affine:
    """One linear or convolutional layer behind flattening and non-overlapping average pools.

    A `k x k` pool P has `P P' = I / k^2`, so it divides every row, and the operator norm, by k.
    """

    layer: nn.Linear | nn.Conv2d
    pools: tuple[nn.Module, ...]  # flattening included
    shape: torch.Size  # of one input

    @property
    def pooled(self) -> float:
        sides = [side(pool) for pool in self.pools if isinstance(pool, nn.AvgPool2d)]
        return math.prod(sides, start=1.0)

    def norm(self) -> float:
        """An upper bound on the operator norm.

        A convolution without padding keeps some outputs of the circular one on the same image,
        whose norm is its largest over the frequencies (Sedghi et al., 2019); zero padding is an
        isometry into a larger image.
        """
        weight = self.layer.weight.detach()
        if isinstance(self.layer, nn.Linear):
            return float(torch.linalg.matrix_norm(weight, 2)) * UP / self.pooled
        size = [n + 2 * p for n, p in zip(self._image()[1:], _padding(self.layer), strict=True)]
        circular = torch.fft.fft2(weight, s=size).permute(2, 3, 0, 1)
        return float(torch.linalg.matrix_norm(circular, 2).max()) * UP / self.pooled

    def longest_row(self) -> float:
        """The norm from l2 to l-infinity."""
        return float(self.layer.weight.detach().flatten(1).norm(dim=1).max()) * UP / self.pooled

    def weighted_norm(self, scale: Tensor) -> Tensor:
        """`|diag(sqrt(scale)) A|^2` for each row of `scale`, all entries >= 0."""
        if isinstance(self.layer, nn.Conv2d):
            return scale.flatten(1).amax(1) * self.norm() ** 2
        weight, root = self.layer.weight.detach(), scale.sqrt()
        gram = weight @ weight.T / self.pooled**2
        if gram.shape[0] > weight.shape[1]:
            grams = torch.einsum("bi,ij,ik->bjk", scale, weight, weight) / self.pooled**2
        else:
            grams = root.unsqueeze(2) * gram * root.unsqueeze(1)
        largest: Tensor = torch.linalg.eigvalsh(grams)[:, -1].clamp(min=0) * UP
        return largest

    def pull(self, cotangent: Tensor, power: int = 0) -> Tensor:
        """`A'u` for each row u; of the matrix of `|a|^power` where a power is given."""
        start = cotangent.new_zeros(len(cotangent), *self.shape).requires_grad_()
        with torch.enable_grad():
            output = self._linear(start, power)
        return torch.autograd.grad(output, start, cotangent.view_as(output))[0]

    def push(self, a: Tensor, power: int = 0, bias: bool = False) -> Tensor:
        """`A a`, plus the bias (or its absolute value) where asked."""
        output = self._linear(a, power)
        if bias and self.layer.bias is not None:
            vector = self.layer.bias.detach()
            vector = vector.abs() if power else vector
            output = output + vector.view(-1, *[1] * (output.dim() - 2))
        return output

    def _linear(self, a: Tensor, power: int) -> Tensor:
        for pool in self.pools:
            a = pool(a)
        weight = self.layer.weight.detach()
        if power:  # a pooled entry is w / k^2 and no two of them meet
            weight = weight.abs() ** power / self.pooled ** (2 * power - 2)
        if isinstance(self.layer, nn.Linear):
            return nn.functional.linear(a, weight)
        return nn.functional.conv2d(a, weight, None, self.layer.stride, _padding(self.layer))

    def _image(self) -> torch.Size:
        image = self.layer.weight.new_zeros(1, *self.shape)
        for pool in self.pools:
            image = pool(image)
        return image.shape[1:]


def side(pool: nn.AvgPool2d) -> int:
    """The side of a square pool."""
    size = pool.kernel_size
    return size if isinstance(size, int) else size[0]


@dataclass(frozen=True)
class Layers:
    """A network as affine maps with an activation after each but the last, in float64."""

    affine: tuple[Affine, ...]
    activations: tuple[Activation, ...]
    model: nn.Module

    def rounding(self, x: Tensor) -> Tensor:
        """A bound on the error of float64 logits, `(B, C)`: a running error analysis.

        A sum of n products errs by at most `n u` times the sum of their sizes; an activation
        passes an error on times its steepness and adds its own.
        """
        size, error = x.abs(), torch.zeros_like(x)
        u = torch.finfo(x.dtype).eps
        for affine, activation in zip(self.affine, (*self.activations, None), strict=True):
            terms = affine.layer.weight[0].numel() + 16
            size, error = affine.push(size, 1, bias=True), affine.push(error, 1)
            error = error + terms * u * size
            if activation is not None:
                steep = steepness(activation)
                size = steep * size + activation.offset
                error = steep * error + 16 * u * size + activation.error
        return 2 * error


def read_layers(model: nn.Module, shape: torch.Size) -> Layers:
    """The layers of a feed-forward network for inputs of `shape`; any other is refused.

    >>> layers = read_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.Size((1, 2, 2)))
    >>> len(layers.affine), layers.activations
    (1, ())
    """
    double = copy.deepcopy(model).double().eval().requires_grad_(False)
    affine: list[Affine] = []
    activations: list[Activation] = []
    pools: list[nn.Module] = []
    device = next((weight.device for weight in double.parameters()), None)
    value = torch.zeros(1, *shape, dtype=torch.float64, device=device)
    start = value.shape[1:]
    for layer in _leaves(double):
        if isinstance(layer, nn.Identity):
            continue
        if isinstance(layer, nn.Flatten | nn.AvgPool2d):
            _check_pool(layer, value)
            pools.append(layer)
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            _check_affine(layer)
            if len(affine) > len(activations):
                raise ValueError("requires an activation between affine layers. Found none.")
            affine.append(Affine(layer, tuple(pools), start))
            pools = []
        else:
            if pools or len(activations) >= len(affine):
                raise ValueError(f"requires an affine layer before {layer!r}. Found none.")
            activations.append(activation_ranges(layer))
        value = layer(value)
        if not pools:
            start = value.shape[1:]
    if pools or len(affine) != len(activations) + 1 or value.dim() != 2:
        raise ValueError("requires a network that ends in a linear layer. Found another end.")
    return Layers(tuple(affine), tuple(activations), double)


class Constants(NamedTuple):
    """Constants of the margins `f_y - f_j` at `[y, j]`, valid everywhere; zero on the diagonal.

    `lipschitz` bounds the gradient's norm and `curvature` bounds `-lambda_min` of the Hessian.
    As `f_j - f_y` is the negative margin, `curvature[j, y]` bounds `lambda_max`.
    """

    lipschitz: Tensor  # (C, C)
    curvature: Tensor  # (C, C)
    logits: float  # Lipschitz constant of the centred logits


@torch.no_grad()
def network_constants(model: nn.Module, shape: torch.Size) -> Constants:
    """Upper bounds for a feed-forward network on inputs of `shape`.

    >>> model = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 2))
    >>> _ = nn.init.ones_(model[0].weight), model[2].weight.data.copy_(torch.tensor([[1.0], [0.0]]))
    >>> constants = network_constants(model, torch.Size((2,)))
    >>> constants.lipschitz[0, 1].round(decimals=4)  # sqrt(2)
    tensor(1.4142, dtype=torch.float64)
    >>> constants.curvature[0, 1].round(decimals=4)  # 2 * 0.7698
    tensor(1.5396, dtype=torch.float64)
    """
    return constants_of(read_layers(model, shape))


def constants_of(layers: Layers) -> Constants:
    """`network_constants` of layers already read."""
    *hidden, last = layers.affine
    norms = [affine.norm() for affine in hidden]
    forward = [1.0]  # Lipschitz constants of the input and of each a_I
    for norm, activation in zip(norms, layers.activations, strict=True):
        forward.append(forward[-1] * norm * steepness(activation))
    weight = last.layer.weight.detach()
    classes = len(weight)
    y, j = torch.triu_indices(classes, classes, 1, device=weight.device)
    units = torch.eye(classes, dtype=weight.dtype, device=weight.device)
    margins = last.pull(units[y] - units[j])
    lengths = margins.flatten(1).norm(dim=1) * UP
    lipschitz = _margin_lipschitz(layers, margins, lengths, norms, forward)
    below, above = _curvatures(layers, margins, lengths, norms, forward)
    centred = float(torch.linalg.matrix_norm(weight - weight.mean(0), 2)) / last.pooled
    table = weight.new_zeros(2, classes, classes)
    table[0, y, j], table[0, j, y] = lipschitz, lipschitz
    table[1, y, j], table[1, j, y] = below, above
    return Constants(table[0] * UP, table[1] * UP, centred * forward[-1] * UP)


def _margin_lipschitz(
    layers: Layers, margins: Tensor, lengths: Tensor, norms: list[float], forward: list[float]
) -> Tensor:
    """Lipschitz constants of `margins . a`, the last slopes split into their middle and the rest.

    Diagonal slopes within `[a, b]` are `(a + b) / 2 I` plus a diagonal of entries at most
    `(b - a) / 2`, and the middle part acts on the row `margins A` as a whole (Fazlyab et al.,
    2023).
    """
    if not norms:
        return lengths
    low, high = layers.activations[-1].slope
    through = layers.affine[-2].pull(margins).flatten(1).norm(dim=1) * UP
    split = (low + high) / 2 * through + (high - low) / 2 * lengths * norms[-1]
    return torch.minimum(split * forward[-2], lengths * forward[-1])


def _curvatures(
    layers: Layers, margins: Tensor, lengths: Tensor, norms: list[float], forward: list[float]
) -> tuple[Tensor, Tensor]:
    """Bounds on `-lambda_min` and `lambda_max` of the Hessian of `margins . a` for each margin."""
    below = torch.zeros_like(lengths)
    if not norms:
        return below, below
    if any(math.isinf(bend(activation)) for activation in layers.activations):
        return below + math.inf, below + math.inf
    low, high = layers.activations[-1].curvature

    def term(index: int, scale: Tensor, length: Tensor) -> Tensor:
        """`|sum_i scale_i b_i b_i'|` over rows `b_i` of the Jacobian of a pre-activation."""
        affine = layers.affine[index]
        gram = affine.weighted_norm(scale.flatten(1))
        composed = length * affine.longest_row() * norms[index]
        return torch.minimum(gram, composed) * forward[index] ** 2

    up, down = margins.clamp(min=0), (-margins).clamp(min=0)
    index = len(norms) - 1
    ends = []
    for scale in (-low * up + high * down, high * up - low * down):
        ends.append(term(index, scale, scale.flatten(1).norm(dim=1) * UP))
    shared, entries = torch.zeros_like(lengths), margins.abs()
    while index:
        g, affine = steepness(layers.activations[index]), layers.affine[index]
        columns = affine.pull(torch.ones_like(entries[:1]), 2).sqrt() * UP
        wide = (g * lengths).view(-1, *[1] * (columns.dim() - 1))
        entries = torch.minimum(affine.pull(g * entries, 1) * UP, columns * wide)
        lengths = torch.minimum(g * norms[index] * lengths, entries.flatten(1).norm(dim=1) * UP)
        index -= 1
        shared = shared + bend(layers.activations[index]) * term(index, entries, lengths)
    return ends[0] + shared, ends[1] + shared


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ValueError(f"requires a number of zeros as padding. Found {layer!r}.")
    return layer.padding[0], layer.padding[1]


def _check_pool(layer: nn.Module, value: Tensor) -> None:
    if isinstance(layer, nn.Flatten):
        if (layer.start_dim, layer.end_dim) != (1, -1):
            raise ValueError(f"requires flattening of whole examples. Found {layer!r}.")
    elif isinstance(layer, nn.AvgPool2d):
        sizes = {
            *(layer.kernel_size if isinstance(layer.kernel_size, tuple) else [layer.kernel_size]),
            *(layer.stride if isinstance(layer.stride, tuple) else [layer.stride]),
        }
        if len(sizes) > 1 or layer.padding != 0 or layer.ceil_mode or layer.divisor_override:
            raise ValueError(f"requires square pools that do not overlap. Found {layer!r}.")


def _check_affine(layer: nn.Linear | nn.Conv2d) -> None:
    if isinstance(layer, nn.Conv2d):
        _padding(layer)
        if set(layer.dilation) != {1} or layer.groups != 1:
            raise ValueError(f"requires convolutions without dilation or groups. Found {layer!r}.")


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    if isinstance(model, nn.Sequential):
        for layer in model:
            yield from _leaves(layer)
    else:
        yield model
