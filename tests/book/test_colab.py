"""Exported notebooks: no raw markup, right numbers, hidden solutions, links that resolve."""

import re
from importlib.metadata import version
from pathlib import Path

import nbformat
import notebooks as nb
import pytest
from address import repository
from bookcolab import install_line
from bookmath import MACROS
from colab_text import Plain, UnknownMarkupError, write_out
from trial import CHAPTER, Trial

SAMPLE = "someone/shape-of-robustness"
RAW = re.compile(
    r"^:{3,}|\{(?:prf|cite|eq|ref|numref|doc)[\w:]*\}`|\$\$ *\([\w:-]+\)", re.MULTILINE
)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Build the trial book for a sample address."""
    built = Trial(tmp_path_factory.mktemp("colab"))
    result = built.build(SAMPLE)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    return built


@pytest.fixture(scope="module")
def exported(trial: Trial) -> nbformat.NotebookNode:
    """Return the exported chapter."""
    notebook = nbformat.read(trial.site / f"colab/{CHAPTER}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def markdown(notebook: nbformat.NotebookNode) -> str:
    """Return all text cells of a notebook."""
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def test_no_raw_markup(exported: nbformat.NotebookNode) -> None:
    assert not RAW.search(markdown(exported))
    assert RAW.search(markdown(nb.read(nb.TEMPLATE)))


def test_numbers_are_the_sites(trial: Trial, exported: nbformat.NotebookNode) -> None:
    text = markdown(exported)
    assert text.startswith("# 1. A chapter in small")
    assert "**Proposition 1.1 (Rayleigh quotient).**" in text
    assert r"\tag{1.1}" in text
    assert "*Fig. 1.1.* The Rayleigh quotient" in text
    assert "## 1.5. Exercises" in text
    page = (trial.site / f"{CHAPTER}.html").read_text(encoding="utf-8")
    for number in ("Proposition 1.1", "Fig. 1.1", "Exercise 1.3", "(1.1)"):
        assert number in text
        assert number in page


def test_macros_are_written_out(exported: nbformat.NotebookNode) -> None:
    for name in MACROS:
        assert not re.search(re.escape(name) + r"(?![A-Za-z])", markdown(exported)), name


def test_solutions_are_hidden(exported: nbformat.NotebookNode) -> None:
    assert markdown(exported).count("<details>") == 2
    form = [cell for cell in exported.cells if cell.metadata.get("cellView") == "form"]
    assert len(form) == 1
    assert form[0].source.startswith("#@title Solution")
    assert form[0].outputs == []


def test_what_ran_says_so(exported: nbformat.NotebookNode) -> None:
    """A cell with outputs and no count is not compared, but refused."""
    ran = [cell for cell in exported.cells if cell.cell_type == "code" and cell.outputs]
    assert ran
    assert all(cell.execution_count for cell in ran)


def test_install_line_pins_the_sample_address(exported: nbformat.NotebookNode) -> None:
    cell = next(cell for cell in exported.cells if cell.cell_type == "code")
    found = re.findall(r"^%pip (.*)$", cell.source, re.MULTILINE)
    assert len(found) == 1
    assert "--no-deps --force-reinstall" in found[0]
    assert re.search(rf'"curvlab @ git\+https://github\.com/{SAMPLE}@\w+"', found[0])


def test_autoattack_is_installed_where_it_is_used() -> None:
    pin = f" pyautoattack=={version('pyautoattack')}"
    assert install_line(SAMPLE, "report = masking_report(model, x, y, eps)").endswith(pin)
    assert "pyautoattack" not in install_line(SAMPLE, "pgd(model, x, y, eps)")


def test_every_link_to_the_repository_resolves(trial: Trial) -> None:
    page = (trial.site / f"{CHAPTER}.html").read_text(encoding="utf-8")
    badge = re.search(r'href="https://colab\.research\.google\.com/github/([^"]+)"', page)
    assert badge
    owner_name, path = badge[1].split("/blob/gh-pages/")
    assert owner_name == SAMPLE
    assert (trial.site / path).exists()
    edit = re.search(rf'href="https://github\.com/{SAMPLE}/edit/main/([^"]+)"', page)
    assert edit
    assert (trial.folder / edit[1]).exists()
    canonical = re.search(r'rel="canonical" href="https://someone\.github\.io/([^"]+)"', page)
    assert canonical
    assert canonical[1] == f"shape-of-robustness/{CHAPTER}.html"
    everywhere = set(re.findall(r"github\.com/([\w.-]+/[\w.-]+)", page))
    assert everywhere == {SAMPLE}


def test_unknown_address_shows_no_button(tmp_path: Path) -> None:
    built = Trial(tmp_path)
    assert built.build().returncode == 0
    page = (built.site / f"{CHAPTER}.html").read_text(encoding="utf-8")
    assert "colab.research.google.com" not in page
    assert "make lab" in page


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("someone/book", "someone/book"),
        ("https://github.com/someone/book.git", "someone/book"),
        ("git@github.com:someone/book.git", "someone/book"),
    ],
)
def test_address_is_read(written: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_REPOSITORY", written)
    assert repository() == found


def test_bad_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_REPOSITORY", "not an address")
    with pytest.raises(SystemExit, match="BOOK_REPOSITORY requires 'owner/name'"):
        repository()


def plain() -> Plain:
    """Return a translator that answers with what it was asked."""
    return Plain(
        say=lambda role, target, title: f"<{role} {target} {title}>",
        number=lambda kind, label: f"<{kind} {label}>",
        macros={r"\R": r"\mathbb{R}", r"\norm": r"\lVert #1 \rVert", r"\inner": "<#1,#2>"},
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a {eq}`eq-x` b", "a <eq eq-x None> b"),
        ("{prf:ref}`the bound <thm-x>`", "<prf:ref thm-x the bound>"),
        ("$$ a $$ (eq-x)", r"$$ a \tag{<equation eq-x>} $$"),
        (r"$\norm{x+\norm{y}}$", r"$\lVert x+\lVert y \rVert \rVert$"),
        (r"$\R^d$ and $\Rightarrow$", r"$\mathbb{R}^d$ and $\Rightarrow$"),
        (r"$\inner{a}{b}$", "$<a,b>$"),
        ("```python\n:::{note}\n```", "```python\n:::{note}\n```"),
        (":::{note}\nGo.\n:::", "> **Note.** Go."),
        ("::::{note}\n:::{tip}\nIn.\n:::\n::::", "> **Note.** > **Tip.** In."),
        (":::{exercise-end}\n:::", ""),
    ],
)
def test_translation(source: str, expected: str) -> None:
    assert plain().translate(source).strip() == expected


@pytest.mark.parametrize("source", [":::{figure} x.png\n:::", ":::{note}\nnever closed"])
def test_unknown_markup_raises(source: str) -> None:
    with pytest.raises(UnknownMarkupError):
        plain().translate(source)


def test_macro_does_not_run_into_a_letter() -> None:
    assert write_out(r"\top x\tr A", {r"\tr": r"\operatorname{tr}"}) == r"\top x\operatorname{tr} A"
