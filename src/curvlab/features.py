"""How near a direction in pixel space is to what people see: four quotients and a judge.

The quotients are Rayleigh quotients `v'Av / v'v`, blind to the length and the sign of the direction
v. Three of the matrices come from the data alone, the fourth from the network at another image.
"""

from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from curvlab.attacks import pgd
from curvlab.data import Examples

BETTER: Final[dict[str, Literal["high", "low"]]] = {
    "class share": "high",
    "edge share": "high",
    "roughness": "low",
    "consistency": "high",
    "persuades": "high",
}


def class_means(x: Tensor, y: Tensor, classes: int = 10) -> Tensor:
    """The mean image of each class, flattened: `(B, ...), (B,) -> (classes, D)`."""
    counts = torch.bincount(y, minlength=classes)
    if len(counts) > classes or not bool(counts.all()):
        raise ValueError(f"requires examples of {classes} classes. Found {counts.tolist()}.")
    return torch.stack([x[y == k].double().mean(0).flatten() for k in range(classes)])


def class_basis(means: Tensor) -> Tensor:
    """An orthonormal basis of the differences of class means: `(C, D) -> (D, C - 1)`."""
    basis: Tensor = torch.linalg.qr((means[1:] - means[0]).T)[0]
    return basis


def steep(x: Tensor) -> Tensor:
    """One where the central difference is at least a quarter of the largest in its image, zero
    elsewhere: `(B, 1, H, W) -> (B, H W)`."""
    across = x[..., 1:-1, 2:] - x[..., 1:-1, :-2]
    down = x[..., 2:, 1:-1] - x[..., :-2, 1:-1]
    slope = pad(across**2 + down**2, (1, 1, 1, 1)).flatten(1)
    return (slope >= slope.amax(1, keepdim=True) / 16).to(x)


def roughness(v: Tensor) -> Tensor:
    """Squared differences of neighboring pixels over the squared length: `(B, ..., H, W) -> (B,)`.

    >>> roughness(torch.tensor([[[1.0, -1.0], [1.0, -1.0]]]))
    tensor([2.])
    """
    steps = [v.diff(dim=dim).square().flatten(1).sum(1) for dim in (-2, -1)]
    return (steps[0] + steps[1]) / v.square().flatten(1).sum(1)


def nearest(x: Tensor, y: Tensor, among: Examples) -> Tensor:
    """The nearest image of the same class, by Euclidean distance."""
    far = torch.cdist(x.flatten(1), among.x.flatten(1).to(x))
    far[y[:, None] != among.y] = torch.inf
    if bool(far.amin(1).isinf().any()):
        raise ValueError("requires an image of every label. Found a label without one.")
    return among.x[far.argmin(1)].to(x)


def directions(v: Tensor) -> Tensor:
    """Flat, with length one: `(B, ...) -> (B, D)`."""
    if not bool(v.flatten(1).any(1).all()):
        raise ValueError("requires directions other than zero. Found a zero, which points nowhere.")
    return normalize(v.flatten(1), dim=1, eps=0.0)


def quotients(
    v: Tensor, basis: Tensor, edges: Tensor, beside: Tensor | None = None
) -> dict[str, Tensor]:
    """The measures of directions v `(B, 1, H, W)`; consistency only where directions at neighboring
    images are given."""
    unit = directions(v)
    found = {
        "class share": (unit @ basis).square().sum(1),
        "edge share": (unit.square() * edges).sum(1),
        "roughness": roughness(v),
    }
    if beside is not None:
        found["consistency"] = (unit * directions(beside)).sum(1).square()
    return found


def persuades(
    model: nn.Module, x: Tensor, y: Tensor, judge: Examples, radius: float, steps: int = 15
) -> Tensor:
    """Whether a far attack makes the network answer wrong and the nearest of the judge's images has
    the label of that answer: `(B,)`, zeros and ones."""
    far = pgd(model, x, y, radius, "l2", steps=steps, keep="loss", random_start=False).x
    answer: Tensor = model(far).argmax(1)
    distance = torch.cdist(far.flatten(1), judge.x.flatten(1).to(x))
    return ((judge.y[distance.argmin(1)] == answer) & (answer != y)).to(x)
