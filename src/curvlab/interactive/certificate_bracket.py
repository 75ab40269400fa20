"""Figure: the certified radii and the attack radius that margin, slope and curvature give."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as Plot
from torch import Tensor, nn

from curvlab.attacks import minimal_norm
from curvlab.bounds.certificates import margins
from curvlab.bounds.constants import constants_of, read_layers
from curvlab.bounds.radii import attack_radius, combined_radius, curvature_radius
from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, show

VALUES: Mapping[str, Any] = {"image": "0", "margin": 0.0, "slope": 0.0, "curvature": 0.0}


class Image(NamedTuple):
    """One test image and its runner-up class: `m`, `|grad m|`, the constants K and L that hold for
    this margin, and the length of the smallest change an attack found."""

    label: str
    margin: float
    slope: float
    curvature: float
    lipschitz: float
    attack: float


def certified_images(model: nn.Module, x: Tensor, y: Tensor) -> list[Image]:
    """The numbers of some correctly classified images on a network with smooth activations.

    Each speaks of the class with the smallest combined radius. K bounds the curvature of that
    margin on both sides; the attack is a search for the smallest change, without a box.
    """
    layers = read_layers(model, x.shape[1:])
    bounds = constants_of(layers)
    found = margins(layers, bounds, x, y)
    steep = torch.minimum(found.slope, bounds.lipschitz[y])
    bend = torch.maximum(bounds.curvature[y], bounds.curvature[:, y].T)
    reach = combined_radius(found.value, steep, bend, bounds.lipschitz[y])
    runner_up = reach.scatter(1, y.unsqueeze(1), torch.inf).argmin(1)
    nearest = minimal_norm(model, x, y, box=None).distance
    if not (nearest > 0).all() or not nearest.isfinite().all():
        raise ValueError(f"requires correct images with an attack. Found {nearest.tolist()}.")
    pick = torch.arange(len(y)), runner_up
    return [
        Image(f"a {label} against {other}", *numbers)
        for label, other, *numbers in zip(
            y.tolist(),
            runner_up.tolist(),
            found.value[pick].tolist(),
            steep[pick].tolist(),
            bend[pick].tolist(),
            bounds.lipschitz[y][pick].tolist(),
            nearest.tolist(),
            strict=True,
        )
    ]


def state(images: Sequence[Image]) -> State:
    """The images whose numbers the sliders multiply."""
    if not images:
        raise ValueError("requires at least one image. Found none.")
    for image in images:
        if not all(value > 0 for value in image[1:]):
            raise ValueError(f"requires positive numbers. Found {image}.")
    rounded = [
        {
            **image._asdict(),
            **{k: float(f"{v:.5g}") for k, v in image._asdict().items() if isinstance(v, float)},
        }
        for image in images
    ]
    return {"images": rounded}


class Radii(NamedTuple):
    """All radii at one setting, with the numbers they follow from."""

    margin: float
    slope: float
    curvature: float
    by_lipschitz: float
    by_curvature: float
    combined: float
    attack: float


def radii(state: State, values: Mapping[str, Any]) -> Radii:
    """The radii of `curvlab.bounds` at a setting."""
    image = state["images"][int(values["image"])]
    m, g, k = (
        torch.tensor([image[name] * 10 ** values[name]], dtype=torch.float64)
        for name in ("margin", "slope", "curvature")
    )
    lipschitz = g.clamp(min=image["lipschitz"])
    return Radii(
        m.item(),
        g.item(),
        k.item(),
        (m / lipschitz).item(),
        curvature_radius(m, g, k).item(),
        combined_radius(m, g, k, lipschitz).item(),
        attack_radius(m, g, k).item(),
    )


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    found = radii(state, values)
    reach = (
        f"an attack succeeds within {digits(found.attack)}"
        if np.isfinite(found.attack)
        else "no attack radius follows (slope² < 2 K margin)"
    )
    image = state["images"][int(values["image"])]
    untouched = not any(values[name] for name in ("margin", "slope", "curvature"))
    pgd = f" PGD found one at {digits(image['attack'])}." if untouched else ""
    return (
        f"Margin {digits(found.margin)}, slope {digits(found.slope)}, curvature at most "
        f"{digits(found.curvature)}. Certified: {digits(found.by_curvature)} by curvature, "
        f"{digits(found.by_lipschitz)} by Lipschitz constant, {digits(found.combined)} combined; "
        f"{reach}.{pgd}"
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    found = radii(state, values)
    image = state["images"][int(values["image"])]
    last = found.attack if np.isfinite(found.attack) else 2.5 * found.combined
    t = np.linspace(0, 1.15 * max(last, found.combined, image["attack"]), 200)
    m, g, k = found.margin, found.slope, found.curvature
    steep = max(g, image["lipschitz"])
    turn, beyond = (steep - g) / k, steep * t - (steep - g) ** 2 / (2 * k)
    below = np.where(t <= turn, g * t + k * t**2 / 2, beyond)
    with style.context():
        drawn, axes = plt.subplots()
        axes.axvspan(0, found.combined, color=style.GREEN, alpha=0.15, label="certified")
        axes.plot(t, m - below, color=style.GREEN, label="margin at least")
        axes.plot(
            t,
            m - g * t + k * t**2 / 2,
            "--",
            color=style.ORANGE,
            label="at most, against the gradient",
        )
        axes.plot(found.by_curvature, 0, "D", color=style.BLUE, label="by curvature")
        axes.plot(found.by_lipschitz, 0, "s", color=style.PURPLE, label="by Lipschitz constant")
        axes.axvline(image["attack"], color=style.INK, label="PGD")
        axes.set(xlabel="distance from the image", ylabel="margin left", ylim=(-0.03 * m, 1.05 * m))
        axes.legend()
    plt.close(drawn)
    return drawn


def figure(
    images: Sequence[Image],
    *,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The bracket of some test images; `certified_images` measures them."""
    held = state(images)
    setting = {**VALUES, **(values or {})}
    alt = (
        "The margin left against the distance from an image: a lower bound that falls to zero at "
        "the certified radius, an upper bound against the gradient that falls to zero at the "
        f"attack radius, and the length of an attack between them. {readout(held, setting)}"
    )
    return show(
        "certificate-bracket",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
