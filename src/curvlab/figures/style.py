"""The look of every static figure.

A figure is a card of fixed size on warm white paper, so that it reads the same on a light page, a
dark page and in print. Colors are those that color-blind readers tell apart, and each comes with
its own line style, and `MARKERS` has a mark for each, so that no figure speaks by color alone.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

PAPER = "#fdfcf9"
INK = "#22262b"
BLUE, ORANGE, GREEN, PURPLE = "#0b63a5", "#c8590c", "#16775a", "#8440a8"
GRAY = "#6b7178"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, GRAY)
LINE_STYLES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v")
DIVERGING = "PuOr"
SEQUENTIAL = "cividis"

WIDTH = 7.2
HEIGHT = 3.4

RC: Any = {
    "figure.figsize": (WIDTH, HEIGHT),
    "figure.dpi": 100,
    "savefig.dpi": 130,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=PALETTE, linestyle=LINE_STYLES),
    "image.cmap": SEQUENTIAL,
}


def use() -> None:
    """Make the style the default of this process; a chapter's first cell calls it."""
    mpl.rcParams.update(RC)


@contextmanager
def context() -> Iterator[None]:
    """The style for one figure only."""
    with mpl.rc_context(RC):
        yield


def show_image(axis: Axes, pixels: Tensor, *, signed: bool = False) -> None:
    """A gray image on [0, 1] without axes; a signed one's largest entry has full color."""
    image = pixels.detach().cpu().squeeze()
    if image.dim() != 2:
        raise ValueError(f"requires one gray image. Found {tuple(pixels.shape)}.")
    extent = float(image.abs().max()) or 1.0
    low, colors = (-extent, DIVERGING) if signed else (0, "gray")
    axis.imshow(image.numpy(), cmap=colors, vmin=low, vmax=extent if signed else 1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def fig_to_png(figure: Figure, *, dpi: int = 130, colors: int | None = 128) -> bytes:
    """The figure as a small PNG without date or version, so that equal figures are equal files.

    `colors` limits the palette, which cuts line art to a third; None keeps every color.

    >>> figure = Figure(figsize=(1, 1))
    >>> fig_to_png(figure) == fig_to_png(figure)
    True
    """
    if colors is not None and not 2 <= colors <= 256:
        raise ValueError(f"requires 2 to 256 colors or None. Found {colors}.")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, metadata={"Software": None})
    return drawn.getvalue() if colors is None else with_palette(drawn.getvalue(), colors)


def with_palette(png: bytes, colors: int = 128) -> bytes:
    """A picture with so few colors that each pixel is one byte: line art shrinks to a third. One
    that has a palette stays as it is.

    >>> figure = Figure(figsize=(1, 1))
    >>> drawn = fig_to_png(figure, colors=None)
    >>> len(with_palette(drawn)) < len(drawn)
    True
    """
    small, picture = io.BytesIO(), Image.open(io.BytesIO(png))
    if picture.mode == "P":
        return png
    palette = picture.convert("RGB").quantize(colors, dither=Image.Dither.NONE)
    palette.save(small, format="png", optimize=True)
    return small.getvalue()
