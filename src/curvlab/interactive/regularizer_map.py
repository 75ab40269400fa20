"""Figure: every regularizer, what its value bounds, what a step costs, and what links it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Plot

from curvlab.figures import style
from curvlab.interactive.host import Figure, State, show

# What a value can be worth, with the mark that shows it.
KINDS = {
    "ball": "bounds, by a supremum over the ball",
    "more": "bounds, with something besides",
    "below": "bounds from below",
    "none": "bounds nothing by itself",
}
MARKERS = {"ball": "o", "more": "s", "below": "^", "none": "D"}
ORDERS = {"book": "as in the book", "cost": "by cost", "kind": "by what it bounds"}


class Regularizer(NamedTuple):
    """One method: what it sees, what its value bounds, and a step's cost in plain steps."""

    name: str
    kind: str
    sees: str
    bounds: str
    cost: float | None  # None where it is no training step of a classifier
    time: str


class Link(NamedTuple):
    """A statement that links some methods, and how."""

    title: str
    who: Sequence[str]
    how: str


def state(regularizers: Sequence[Regularizer], links: Sequence[Link]) -> State:
    """What travels in the page: all methods, and the statements between them."""
    names = {r.name for r in regularizers}
    for r in regularizers:
        if r.kind not in KINDS:
            raise ValueError(f"requires a kind among {', '.join(KINDS)}. Found {r.kind!r}.")
    for link in links:
        if not set(link.who) <= names:
            found = ", ".join(sorted(set(link.who) - names))
            raise ValueError(f"requires links between methods of the map. Found {found}.")
    rows = [r._asdict() | {"cost": r.cost and round(r.cost, 2)} for r in regularizers]
    return {"rows": rows, "links": [link._asdict() | {"who": list(link.who)} for link in links]}


def ordered(state: State, order: str) -> list[Mapping[str, Any]]:
    """The rows from top to bottom."""
    rows = list(state["rows"])
    if order == "cost":
        rows.sort(key=lambda row: row["cost"] or 0)
    if order == "kind":
        rows.sort(key=lambda row: list(KINDS).index(row["kind"]))
    return rows


def linked(state: State, name: str) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The statements that name a method, and the other methods that they name."""
    links = [link for link in state["links"] if name in link["who"]]
    others = {other for link in links for other in link["who"]} - {name}
    return links, [row["name"] for row in state["rows"] if row["name"] in others]


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentences under the figure."""
    row = next(row for row in state["rows"] if row["name"] == values["method"])
    links, others = linked(state, row["name"])
    cost = (
        "It is no training step of a classifier."
        if row["cost"] is None
        else f"A step costs {row['cost']:.2f} plain steps of arithmetic; time: {row['time']}."
    )
    told = "; ".join(f"{link['title']} ({link['how']})" for link in links)
    tied = f"Linked with {', '.join(others)}: {told}." if links else "No statement links it."
    return f"{row['name']} sees {row['sees']}. Its value bounds: {row['bounds']}. {cost} {tied}"


def still(state: State, values: Mapping[str, Any]) -> Plot:
    """The picture that stands in for the figure."""
    rows = ordered(state, values["order"])
    heights = {row["name"]: -i for i, row in enumerate(rows)}
    costs = {row["name"]: row["cost"] or 1.0 for row in rows}
    chosen = values["method"]
    with style.context():
        drawn, axes = plt.subplots(figsize=(style.WIDTH, 0.9 + 0.24 * len(rows)))
        for other in linked(state, chosen)[1]:
            ends = (chosen, other)
            axes.plot([costs[n] for n in ends], [heights[n] for n in ends], color=style.GRAY, lw=1)
        for i, (kind, label) in enumerate(KINDS.items()):
            own = [row["name"] for row in rows if row["kind"] == kind]
            x, y = [costs[n] for n in own], [heights[n] for n in own]
            axes.plot(x, y, MARKERS[kind], ls="", color=style.PALETTE[i], label=label)
        axes.set(xscale="log", xlabel="arithmetic of a step, in plain steps")
        axes.set_yticks(list(heights.values()), list(heights), fontsize=8)
        axes.set_xticks([1, 2, 4, 8, 12], ["1", "2", "4", "8", "12"])
        axes.minorticks_off()
        axes.legend(fontsize=7, loc="lower right")
    plt.close(drawn)
    return drawn


def figure(
    held: State, *, values: Mapping[str, Any] | None = None, caption: str | None = None
) -> Figure:
    """The map of `held`, with one method chosen."""
    setting = {"method": held["rows"][0]["name"], "order": "book", **(values or {})}
    return show(
        "regularizer-map",
        held,
        fallback=still(held, setting),
        alt="A map of all regularizers: one row each, placed by the cost of a step, with a mark "
        f"for what its value bounds. {readout(held, setting)}",
        caption=caption,
        values=setting,
    )
