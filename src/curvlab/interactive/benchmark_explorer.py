"""Figure: every trained network of the study on two axes of choice, and its Pareto front."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Plot

from curvlab.figures import style
from curvlab.interactive.host import Figure, State, show
from curvlab.results import FOLDER, available, results, step_of

if TYPE_CHECKING:
    import pandas

VALUES: Mapping[str, Any] = {"cell": "", "across": "", "up": ""}


class Axis(NamedTuple):
    """One thing that was measured of every network, and which end of it is better."""

    name: str
    label: str
    better: str
    percent: bool


class Network(NamedTuple):
    """One trained network: its cell of the study, its method, and what was measured."""

    cell: str
    method: str
    label: str
    values: Mapping[str, float]


def state(networks: Sequence[Network], axes: Sequence[Axis]) -> State:
    """All networks with all axes; a network may lack some of them."""
    if not networks or len(axes) < 2:
        raise ValueError(
            f"requires networks and at least two axes. Found {len(networks)} and {len(axes)}."
        )
    for axis in axes:
        if axis.better not in ("high", "low"):
            raise ValueError(f"requires 'high' or 'low' as better. Found {axis.better!r}.")
    rows = [
        n._asdict() | {"values": {k: float(f"{v:.6g}") for k, v in n.values.items()}}
        for n in networks
    ]
    return {"rows": rows, "axes": [axis._asdict() for axis in axes]}


def studied(folder: Path = FOLDER) -> State:
    """The state from the study's tables: accuracy clean, attacked and certified, curvature, cost.

    The certified axis is there before the study has certified anything, and empty.
    """
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    axes = [Axis("clean", "clean accuracy", "high", True)]
    for group in (_attacked, _certified, _curved, _timed):
        measured = list(group(folder))
        named = dict.fromkeys(axis for axis, _, _ in measured)
        axes += [axis for axis in sorted(named, key=_order) if axis not in axes]
        for axis, key, value in measured:
            found.setdefault(key, {})[axis.name] = value
        if group is _certified and not measured:
            axes.append(_certificate("combined", 0.25))
    if "cost" in available(folder):
        steps = {_key(row): row for row in results("cost", folder).assign(seed=0).itertuples()}
        epochs = {_key(row): row.epochs for row in results("training", folder).itertuples()}
        axes += [
            Axis("relative", "time of a training step, in plain steps", "low", False),
            Axis("training", "time of the whole training, in plain epochs", "low", False),
            Axis("memory", "memory of a training step, in plain steps", "low", False),
        ]
        for (*cell, method, value, seed), held in found.items():
            step = steps.get((*cell, step_of(method), value, 0))
            if step is not None:
                held["relative"] = step.relative
                held["training"] = step.relative * epochs[(*cell, method, value, seed)]
                if not math.isnan(step.peak_bytes):
                    held["memory"] = step.peak_bytes / step.plain_peak_bytes
    networks = [
        Network(
            f"{data}, {network}, {activation}", method, f"{method} {value:g} (seed {seed})", held
        )
        for (data, network, activation, method, value, seed), held in sorted(found.items())
        if method != "untrained"
    ]
    return state(networks, axes)


Measured = Iterator[tuple[Axis, tuple[Any, ...], float]]


def _attacked(folder: Path) -> Measured:
    for row in results("accuracy", folder).itertuples():
        if row.attack == "clean":
            yield Axis("clean", "clean accuracy", "high", True), _key(row), row.value
        else:
            name = f"{row.attack} {row.norm} {row.epsilon:g}"
            label = f"accuracy under {row.attack}, {row.norm} {row.epsilon:g}"
            yield Axis(name, label, "high", True), _key(row), row.value


def _certificate(name: str, epsilon: float) -> Axis:
    label = f"certified accuracy, {name} radius, l2 {epsilon:g}"
    return Axis(f"certified {name} {epsilon:g}", label, "high", True)


def _certified(folder: Path) -> Measured:
    if "certified" in available(folder):
        for row in results("certified", folder).itertuples():
            yield _certificate(row.certificate, row.epsilon), _key(row), row.value


def _curved(folder: Path) -> Measured:
    for row in results("curvature", folder).itertuples():
        if row.statistic == "median":
            axis = Axis(row.quantity, f"median {row.quantity}", "low", False)
            yield axis, _key(row), row.value


def _timed(folder: Path) -> Measured:
    axis = Axis("seconds", "seconds for each training step", "low", False)
    for row in results("training", folder).itertuples():
        if row.steps:
            yield axis, _key(row), row.seconds / row.steps


def _order(axis: Axis) -> tuple[str, float]:
    words, _, last = axis.name.rpartition(" ")
    return (words, float(last)) if last.replace(".", "").isdigit() else (axis.name, 0.0)


def _key(row: "pandas.Series[Any] | Any") -> tuple[Any, ...]:
    return (row.data, row.network, row.activation, row.method, row.value_varied, row.seed)


class Found(NamedTuple):
    """What one choice shows: the two axes, the networks, and those on the front."""

    axes: list[Mapping[str, Any]]
    shown: list[Mapping[str, Any]]
    front: list[Mapping[str, Any]]


def choose(state: State, values: Mapping[str, Any]) -> Found:
    """The networks of a cell that have both axes, and those that none of them beats."""
    axes = [next(a for a in state["axes"] if a["name"] == values[k]) for k in ("across", "up")]
    shown = [
        row
        for row in state["rows"]
        if row["cell"] == values["cell"] and all(a["name"] in row["values"] for a in axes)
    ]

    def gains(row: Mapping[str, Any]) -> list[float]:
        return [row["values"][a["name"]] * (1 if a["better"] == "high" else -1) for a in axes]

    def beaten(row: Mapping[str, Any]) -> bool:
        own = gains(row)
        return any(
            all(a >= b for a, b in zip(gains(other), own, strict=True)) and gains(other) != own
            for other in shown
        )

    return Found(axes, shown, [row for row in shown if not beaten(row)])


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    (across, up), shown, front = choose(state, values)
    if not shown:
        return f"No network of {values['cell']} has both measured."
    names = ", ".join(row["label"] for row in front)
    many = "1 is" if len(front) == 1 else f"{len(front)} are"
    return (
        f"{len(shown)} networks of {values['cell']}; {many} on the Pareto front of "
        f"{across['label']} and {up['label']}: {names}."
    )


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    (across, up), shown, front = choose(state, values)
    with style.context():
        drawn, axes = plt.subplots(figsize=(style.WIDTH, 4.2))
        methods = sorted({row["method"] for row in shown})
        for i, method in enumerate(methods):
            own = [row["values"] for row in shown if row["method"] == method]
            axes.plot(
                [v[across["name"]] for v in own],
                [v[up["name"]] for v in own],
                style.MARKERS[i % 5],
                color=style.PALETTE[(i + i // 5) % 5],
                label=method,
            )
        ends = sorted((r["values"][across["name"]], r["values"][up["name"]]) for r in front)
        axes.set(xlabel=across["label"], ylabel=up["label"])
        if ends:
            axes.plot(*zip(*ends, strict=True), "--", color=style.GRAY, lw=1, label="Pareto front")
            axes.legend(fontsize=8)
        else:
            axes.text(0.5, 0.5, "nothing measured", ha="center", transform=axes.transAxes)
    plt.close(drawn)
    return drawn


def figure(
    held: State | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    caption: str | None = None,
) -> Figure:
    """The explorer over the study's tables, or over another `state`."""
    held = studied() if held is None else held
    first, second = (axis["name"] for axis in held["axes"][:2])
    cell = held["rows"][0]["cell"]
    setting = {"cell": cell, "across": first, "up": second, **(values or {})}
    across, up = choose(held, setting).axes
    alt = (
        f"Networks of the study by {across['label']} and {up['label']}, with the Pareto front. "
        f"{readout(held, setting)}"
    )
    return show(
        "benchmark-explorer",
        held,
        fallback=still(held, setting),
        alt=alt,
        caption=caption,
        values=setting,
    )
