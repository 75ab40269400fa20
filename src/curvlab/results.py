"""The study's tables, the same in a checkout and in an install."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

FOLDER = Path(__file__).with_name("results_files")


def available(folder: Path = FOLDER) -> list[str]:
    """The tables that there are: some come late in the study."""
    return sorted(path.stem for path in folder.glob("*.csv"))


def step_of(method: str) -> str:
    """The method whose step this one takes: those at equal seconds only take more of them.

    >>> step_of("cure-equal"), step_of("cure")
    ('cure', 'cure')
    """
    return method.removesuffix("-equal")


def results(name: str, folder: Path = FOLDER) -> "pandas.DataFrame":
    """One table of the study as a data frame: `curvlab.results("accuracy")`.

    Each row is one measurement with the cell, method, strength and seed it belongs to, and the
    commit, versions and machine that made it.
    """
    import pandas

    known = available(folder)
    if name not in known:
        found = ", ".join(known) or "none"
        raise ValueError(f"requires a table among {found}. Found {name!r}.")
    return pandas.read_csv(folder / f"{name}.csv")
