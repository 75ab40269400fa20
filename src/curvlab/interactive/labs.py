"""Labs: a plotting function with controls, on the real network, and on the page without one.

    from curvlab.interactive import labs

    def plot_ladder(radius, network, device):
        ...                          # any PyTorch work on `device`
        return figure                # a matplotlib figure

    labs.live(
        plot_ladder,
        radius=labs.Slider("radius", 0.0, 3.0, value=1.0, frames=7),
        network=labs.Select("network", ("plain", "hessian-norm")),
        alt="Loss along the gradient and along the top eigenvector.",
    )

One call gives both worlds in one output: with a live kernel, ipywidgets that call the function on
every move; on the static page, frames computed now (each slider's `frames` equally spaced values
times every option of each select) under native controls. Tag the cell `nbval-ignore-output` where
its pictures depend on the machine.

`drive(lab)` moves every real widget to each of its ends and raises what the function raises: no
notebook run sees a callback that fails after the first setting, so each lab has a test with it.
"""

import base64
import html
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure as Plot

from curvlab.figures import style
from curvlab.figures.style import fig_to_png
from curvlab.interactive.host import Figure, digits, occurrence

Plotter = Callable[..., Plot]

MOST_FRAMES = 60


@dataclass(frozen=True)
class Slider:
    """Numbers from `low` to `high`: continuous in a kernel, `frames` of them on the page."""

    label: str
    low: float
    high: float
    value: float | None = None
    frames: int = 7
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"requires low < high. Found {self.low} and {self.high}.")
        if self.frames < 2:
            raise ValueError(f"requires at least 2 frames. Found {self.frames}.")
        if self.value is not None and not self.low <= self.value <= self.high:
            raise ValueError(
                f"requires a value from {self.low} to {self.high}. Found {self.value}."
            )

    @property
    def options(self) -> list[float]:
        """The values that have frames.

        >>> Slider("steps", 0, 10, frames=3, whole=True).options
        [0, 5, 10]
        """
        step = (self.high - self.low) / (self.frames - 1)
        values = [float(f"{self.low + i * step:.6g}") for i in range(self.frames)]
        return sorted({round(v) for v in values}) if self.whole else values

    @property
    def at(self) -> int:
        """Which frame comes first."""
        options = self.options
        start = options[0] if self.value is None else self.value
        return min(range(len(options)), key=lambda i: abs(options[i] - start))

    def write(self, value: float) -> str:
        return str(value) if self.whole else digits(value)

    def widget(self) -> Any:
        import ipywidgets

        start = self.options[self.at] if self.value is None else self.value
        make = ipywidgets.IntSlider if self.whole else ipywidgets.FloatSlider
        step = 1 if self.whole else float(f"{(self.high - self.low) / 100:.3g}")
        return make(
            value=start,
            min=self.low,
            max=self.high,
            step=step,
            description=self.label,
            continuous_update=False,
            style={"description_width": "initial"},
        )

    def ends(self) -> list[Any]:
        return [self.low, self.high]


@dataclass(frozen=True)
class Select:
    """One of a few options."""

    label: str
    options: Sequence[Any]
    value: Any = None

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("requires at least one option. Found none.")
        if self.value is not None and self.value not in self.options:
            raise ValueError(f"requires one of {list(self.options)}. Found {self.value!r}.")

    @property
    def at(self) -> int:
        return 0 if self.value is None else list(self.options).index(self.value)

    def write(self, value: Any) -> str:
        return str(value)

    def widget(self) -> Any:
        import ipywidgets

        return ipywidgets.Dropdown(
            options=list(self.options),
            value=self.options[self.at],
            description=self.label,
            style={"description_width": "initial"},
        )

    def ends(self) -> list[Any]:
        return list(self.options)


Control = Slider | Select


class Board(NamedTuple):
    """The real widgets of a lab: the box that is shown, each control, the picture, the error."""

    box: Any
    controls: dict[str, Any]
    picture: Any
    problem: Any


def device() -> torch.device:
    """Where a lab computes: the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(where: torch.device) -> str:
    """The device in words.

    >>> device_name(torch.device("cpu"))
    'the CPU'
    """
    return "the CPU" if where.type == "cpu" else torch.cuda.get_device_name(where)


@dataclass(frozen=True)
class Lab:
    """A plotting function, its controls and the frames of the static page."""

    plot: Plotter
    controls: Mapping[str, Control]
    alt: str
    caption: str | None
    frames: Figure

    def render(self, **values: Any) -> bytes:
        """The picture at one setting."""
        return _draw(self.plot, values)

    def board(self) -> Board:
        """The real widgets, whose every move calls the plotting function."""
        import ipywidgets

        widgets = {name: control.widget() for name, control in self.controls.items()}
        # A box would stretch the picture to its own width, and blur it.
        whole = {"align_self": "flex-start", "max_width": "100%"}
        picture = ipywidgets.Image(format="png", value=self.frames.image, layout=whole)
        problem = ipywidgets.HTML()
        where = ipywidgets.HTML(f"<small>computed on {html.escape(device_name(device()))}</small>")

        def update(change: Any) -> None:
            try:
                picture.value = self.render(**{name: w.value for name, w in widgets.items()})
            except Exception as error:
                problem.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"
                raise
            problem.value = ""

        for w in widgets.values():
            w.observe(update, names="value")
        # A name of its own keeps the output of a re-executed notebook the same.
        box = ipywidgets.VBox(
            [*widgets.values(), picture, problem, where], model_id=occurrence(self.frames.key)
        )
        return Board(box, widgets, picture, problem)

    def __repr__(self) -> str:
        return f"Lab {self.plot.__name__}: {self.alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {
            "text/html": self.frames._repr_html_(),
            "text/plain": repr(self),
        }
        if _in_kernel():
            box = self.board().box
            bundle["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": box.model_id,
            }
        return bundle


def _in_kernel() -> bool:
    """Whether a front end can talk to widgets: ipywidgets is there and a kernel runs."""
    try:
        import ipywidgets  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _draw(plot: Plotter, values: Mapping[str, Any]) -> bytes:
    with style.context():
        figure = plot(**values, device=device())
    if not isinstance(figure, Plot):
        raise TypeError(f"requires a plot function that returns a figure. Found {figure!r}.")
    image = fig_to_png(figure, dpi=100, colors=48)
    plt.close(figure)
    return image


def live(plot: Plotter, *, alt: str, caption: str | None = None, **controls: Control) -> Lab:
    """A lab over `plot(**values, device=...)`, which returns a matplotlib figure.

    Every frame of the static page is drawn here, so a broken setting fails at once.
    """
    parameters = set(inspect.signature(plot).parameters)
    wanted = {*controls, "device"}
    if parameters != wanted:
        raise TypeError(f"requires a function of {sorted(wanted)}. Found {sorted(parameters)}.")
    if not controls:
        raise ValueError("requires at least one control. Found none.")
    if not alt.strip():
        raise ValueError("requires an alt text that says what the lab shows. Found none.")
    settings = list(itertools.product(*(control.options for control in controls.values())))
    if len(settings) > MOST_FRAMES:
        raise ValueError(f"requires at most {MOST_FRAMES} frames. Found {len(settings)}.")
    pictures = [_draw(plot, dict(zip(controls, setting, strict=True))) for setting in settings]
    first = 0
    for control in controls.values():
        first = first * len(control.options) + control.at
    held = {
        "controls": [
            {
                "name": name,
                "label": control.label,
                "kind": "slider" if isinstance(control, Slider) else "select",
                "shown": [control.write(option) for option in control.options],
                "at": control.at,
            }
            for name, control in controls.items()
        ],
        "alts": alt,
        "device": device_name(device()),
        "lab": plot.__name__.replace("_", "-"),
    }
    # Frames wait in a template, with the alt text that the page gives them when they show.
    named = [
        ", ".join(
            f"{c.label}: {c.write(v)}" for c, v in zip(controls.values(), setting, strict=True)
        )
        for setting in settings
    ]
    store = "".join(
        f'<img alt="{html.escape(f"{alt} {words}.")}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
        for words, picture in zip(named, pictures, strict=True)
    )
    frames = Figure(
        "frames", held, pictures[first], alt, caption, {}, f"<template>{store}</template>"
    )
    return Lab(plot, controls, alt, caption, frames)


def drive(lab: Lab) -> int:
    """Move each real widget to each of its ends; the number of pictures drawn.

    Raises what the plotting function raises, and when a move draws nothing.
    """
    board = lab.board()
    drawn = 0
    for name, control in lab.controls.items():
        widget = board.controls[name]
        first = widget.value
        for value in [*control.ends(), first]:
            if widget.value == value:
                continue
            board.picture.value = b""
            widget.value = value
            if not board.picture.value:
                raise AssertionError(f"requires a picture after {name} = {value!r}. Found none.")
            drawn += 1
    return drawn
