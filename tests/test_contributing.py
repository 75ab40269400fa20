"""What the guide for contributors names exists, and its code runs as printed."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from curvlab.checks import check
from curvlab.figures import style

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TEMPLATE = ROOT / "tests/book/template.ipynb"
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a contributor does, at the root."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def targets() -> set[str]:
    """Return the commands that the Makefile offers."""
    (names,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    return set(names.split()) - {"FORCE"}


def test_every_command_of_make_has_its_line_and_every_line_its_command():
    assert set(re.findall(r"^\| `make (\w+)` \|", README, re.MULTILINE)) == targets()
    quoted = "\n".join(re.findall(r"`[^`]*`", GUIDE))
    assert set(re.findall(r"\bmake ([a-z]+)", quoted)) <= targets()


def test_help_lists_them():
    shown = run("make", "--no-print-directory", "help")
    assert shown.returncode == 0, shown.stderr
    assert set(re.findall(r"^make (\w+) ", shown.stdout, re.MULTILINE)) == targets()


def test_every_path_exists():
    prefixes = "book|tests|tools|src|experiments"
    paths = re.findall(rf"(?<![\w/])((?:{prefixes})/[\w./-]*[\w/])", GUIDE)
    assert len(paths) > 10
    for path in paths:
        known = any((ROOT / f"{path}{suffix}").exists() for suffix in ("", ".md", ".ipynb"))
        assert known or "my-chapter" in path, f"CONTRIBUTING.md names {path}, which is not there"


def test_the_check_runs():
    (code,) = [snippet for snippet in SNIPPETS if "with check" in snippet]
    ones = torch.ones(5)
    exec(code, {"check": check, "left": 0.9 * ones, "right": ones})


def test_the_lab_runs_at_every_end():
    (code,) = [snippet for snippet in SNIPPETS if "labs.live" in snippet]
    names = {"plt": plt, "torch": torch}
    body, call = code.split("\nlabs.live(")
    exec(f"{body}\nlab = labs.live({call}", names)
    assert names["labs"].drive(names["lab"]) >= 2
    plt.close("all")


def test_the_template_is_an_example_of_each_part():
    """It shows what the guide asks for: a statement, a proof, a check, a figure, an exercise."""
    cells = nbformat.read(TEMPLATE, as_version=4).cells
    text = "\n".join(cell.source for cell in cells)
    wanted = (":::{prf:", ":label: prop-", ":::{prf:proof}", "with check(", ".mutation(")
    for part in (*wanted, ":::{exercise}", ":::{solution}", ":::{solution-start}", "Predict first"):
        assert part in text, part
    assert any("mystnb" in cell.metadata for cell in cells)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["tools/notebooks.py", "book/nowhere.ipynb"], "requires the path of a notebook"),
        (["tools/chapter.py"], "requires one notebook, CHAPTER="),
        (["tools/chapter.py", "book/nowhere.ipynb"], "requires one notebook, CHAPTER="),
    ],
    ids=["notebooks", "chapter without one", "chapter"],
)
def test_a_wrong_path_is_answered_in_a_sentence(command: list[str], told: str) -> None:
    result = run(sys.executable, *command)
    assert result.returncode == 1
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def tool(monkeypatch):
    """The tool that runs notebooks, under a name that the tests' own module does not have."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("notebooks_tool", ROOT / "tools/notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_failing_cell_is_shown_and_nothing_is_written(tool, tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("left = 2\nassert left < 1, 'too large'")]
    path = tmp_path / "broken.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="left as it was") as told:
        tool.main([str(path)])
    assert "assert left < 1" in str(told.value)
    assert path.read_bytes() == before


def test_a_copy_loses_the_description_of_the_template(tool, tmp_path):
    copy = nbformat.read(TEMPLATE, as_version=4)
    tool.drop_copied_description(copy, tmp_path / "copy.ipynb")
    assert "description" not in copy.metadata
    own = nbformat.read(TEMPLATE, as_version=4)
    own.metadata.description = "About something else."
    tool.drop_copied_description(own, tmp_path / "copy.ipynb")
    assert own.metadata.description == "About something else."


def test_pictures_are_stored_with_a_palette_and_look_the_same(tool):
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1, 0, 2])
    drawn = style.fig_to_png(figure, colors=None)
    cell = nbformat.v4.new_code_cell("plt.show()")
    data = {"image/png": base64.b64encode(drawn).decode(), "text/plain": "<Figure>"}
    cell.outputs = [nbformat.v4.new_output("display_data", data)]
    notebook = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("words")])
    tool.shrink_pictures(notebook)
    stored = base64.b64decode(cell.outputs[0].data["image/png"])
    assert len(stored) < len(drawn) / 1.5
    before, after = (
        np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int) for png in (drawn, stored)
    )
    assert np.abs(before - after).max() <= 8
    tool.shrink_pictures(notebook)  # a second time changes nothing
    assert base64.b64decode(cell.outputs[0].data["image/png"]) == stored
