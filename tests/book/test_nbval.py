"""nbval compares what is printed: a changed number fails, tagged cells excepted."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import notebooks as nb


def compare(notebook: nbformat.NotebookNode, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook as `make test` does."""
    path = folder / "copy.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", str(path)]
    return subprocess.run(
        [*command, "-c", str(nb.ROOT / "pyproject.toml"), "-p", "no:cacheprovider"],
        cwd=folder,
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
