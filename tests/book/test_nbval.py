"""nbval compares what is printed: a changed number fails, tagged cells excepted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import notebooks as nb
import pytest


def compare(
    notebook: nbformat.NotebookNode, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a notebook as `make test` does."""
    path = folder / "copy.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", str(path)]
    command += [f"--nbval-sanitize-with={nb.ROOT / 'tests/book/sanitize.cfg'}"]
    command += ["--nbval-cell-timeout=300", "--nbval-kernel-startup-timeout=120"]
    return subprocess.run(
        [*command, "-c", str(nb.ROOT / "pyproject.toml"), "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def test_one_changed_digit_is_noticed(tmp_path: Path) -> None:
    notebook = nbformat.read(nb.TEMPLATE, as_version=4)
    assert compare(notebook, tmp_path).returncode == 0
    stream = next(
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == "stdout" and re.search(r"\d\.\d", output.text)
    )
    last = re.search(r"(\d)(?=\D*$)", stream.text)
    assert last
    other = str((int(last[1]) + 1) % 10)
    stream.text = stream.text[: last.start()] + other + stream.text[last.end() :]
    result = compare(notebook, tmp_path)
    assert result.returncode == 1
    assert "1 failed" in result.stdout
    assert "mismatch 'stdout'" in result.stdout


@pytest.mark.parametrize(
    "variables",
    [
        # threads that wait asleep: two that spin on a busy core stand in each other's way
        {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
        {"ATEN_CPU_CAPABILITY": "default"},
    ],
    ids=["two threads", "no vector instructions"],
)
@pytest.mark.parametrize(
    "chapter",
    [
        "local-picture/spectra-without-matrices",
        "first-order/input-gradient",
        "guarantees/certificates",
    ],
)
def test_three_digits_survive_another_order_of_summation(
    chapter: str, variables: dict[str, str], tmp_path: Path
) -> None:
    notebook = nbformat.read(nb.ROOT / f"book/{chapter}.ipynb", as_version=4)
    result = compare(notebook, tmp_path, **variables)
    assert result.returncode == 0, result.stdout[-3000:]
