"""Figure: the reader commits to a number before the measured one is shown beside it."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure as Plot

from curvlab.figures import style
from curvlab.interactive.host import Figure, State, digits, show

VALUES: Mapping[str, Any] = {"guess": 50, "shown": False}


def state(measured: float, low: float, high: float, *, unit: str = "", log: bool = False) -> State:
    """The scale from `low` to `high` and the measured value on it, to four digits."""
    if not low < high or (log and not low > 0):
        raise ValueError(f"requires low < high, and low > 0 on a log scale. Found {low}, {high}.")
    if not low <= measured <= high:
        raise ValueError(f"requires a measured value from {low} to {high}. Found {measured}.")
    space = f" {unit}" if unit else ""
    exact = float(f"{measured:.4g}")
    return {"low": low, "high": high, "log": log, "unit": space, "measured": exact}


def readout(state: State, values: Mapping[str, Any]) -> str:
    """The sentence under the figure."""
    low, high, unit, measured = (state[key] for key in ("low", "high", "unit", "measured"))
    t = values["guess"] / 100
    said = low * (high / low) ** t if state["log"] else low + t * (high - low)
    if not values["shown"]:
        return f"You say {digits(said, 2)}{unit}. Commit, then switch the measurement on."
    if state["log"]:
        high_side = said > measured
        ratio = said / measured if high_side else measured / said
        apart = f"{digits(ratio, 2)} times too {'high' if high_side else 'low'}"
    else:
        side = "high" if said > measured else "low"
        apart = f"{digits(abs(said - measured), 2)}{unit} too {side}"
    return (
        f"You say {digits(said, 2)}{unit}; measured: {digits(measured, 2)}{unit}. "
        f"Your guess is {apart}."
    )


def still(state: State) -> Plot:
    """The picture that stands in for the figure: the empty scale."""
    with style.context():
        drawn, axes = plt.subplots(figsize=(style.WIDTH, 1.1))
        axes.set_xlim(state["low"], state["high"])
        if state["log"]:
            axes.set_xscale("log")
        axes.set(yticks=[], xlabel=f"your guess{state['unit'] and ' in' + state['unit']}")
        axes.spines["left"].set_visible(False)
        middle = (
            np.sqrt(state["low"] * state["high"])
            if state["log"]
            else (state["low"] + state["high"]) / 2
        )
        axes.plot([middle], [0], "s", color=style.ORANGE)
        axes.text(middle, 0.015, "?", ha="center", va="bottom", color=style.ORANGE)
    plt.close(drawn)
    return drawn


def figure(
    question: str,
    measured: float,
    low: float,
    high: float,
    *,
    unit: str = "",
    log: bool = False,
    caption: str | None = None,
) -> Figure:
    """A scale to commit a guess on; a switch then shows the value that the chapter measures.

    `question` is asked in the text above the cell; here it becomes part of the alt text.
    """
    held = state(measured, low, high, unit=unit, log=log)
    alt = f"A scale from {digits(low)} to {digits(high)}{held['unit']} for your guess: {question}"
    return show("predict", held, fallback=still(held), alt=alt, caption=caption, values=VALUES)
