"""Each notebook is well-formed, ran from top to bottom, and reads as a chapter of this book."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import notebooks as nb
import pytest

MACHINE = re.compile(
    r"(?<![\w.])/(?:home|root|work|Users|tmp|var|opt|mnt|usr)/\w|[A-Z]:\\\\?Users|site-packages"
)
WARNING = re.compile(r"\b(?:\w*Warning|Traceback)\b")
PER_NOTEBOOK = 1_500_000
PER_BOOK = 10_000_000
IGNORED_SHARE = 0.15
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")

each_notebook = pytest.mark.parametrize("path", nb.NOTEBOOKS, ids=nb.name)
each_lesson = pytest.mark.parametrize("path", nb.LESSONS, ids=nb.name)
each_chapter = pytest.mark.parametrize("path", nb.CHAPTERS, ids=nb.name)


@each_notebook
def test_format_is_valid(path: Path) -> None:
    notebook = nb.read(path)
    nbformat.validate(notebook, relax_add_props=False)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = Counter(cell.id for cell in notebook.cells)
    assert ids.most_common(1)[0][1] == 1
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_nothing_of_the_machine_is_saved(path: Path) -> None:
    notebook = nb.read(path)
    assert "widgets" not in notebook.metadata, "widget state"
    for cell in notebook.cells:
        assert "execution" not in cell.metadata, f"timing metadata in {cell.id}"
        shown = [cell.source, *(nb.texts(cell) if cell.cell_type == "code" else [])]
        for text in shown:
            found = MACHINE.search(re.sub(r"base64,[\w+/=]+", "", text))
            assert not found, f"a machine's path in {cell.id}: {found[0]!r}"


@each_notebook
def test_cells_ran_once_in_order_without_errors(path: Path) -> None:
    code = nb.cells(path, "code")
    assert code
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", cell.id
        for text in nb.texts(cell):
            assert not WARNING.search(text), f"a warning in {cell.id}"


@each_notebook
def test_no_empty_cells(path: Path) -> None:
    assert all(cell.source.strip() for cell in nb.read(path).cells)


@each_notebook
def test_code_cells_are_short(path: Path) -> None:
    for cell in nb.cells(path, "code"):
        lines = len(cell.source.strip().splitlines())
        assert lines <= 15, f"{cell.id} has {lines} lines"
        longest = max(map(len, cell.source.splitlines()))
        assert longest <= 88, f"{cell.id} has a line of {longest} characters"


@each_notebook
def test_no_code_is_folded_away(path: Path) -> None:
    """The theme's fold names itself otherwise than it reads, which a screen reader cannot use."""
    for cell in nb.cells(path, "code"):
        folded = {"hide-input", "hide-output", "hide-cell"} & set(cell.metadata.get("tags", []))
        assert not folded, f"{cell.id} is folded: {folded}"


@each_notebook
def test_images_have_alt_text_caption_and_name(path: Path) -> None:
    for cell in nb.cells(path, "code"):
        if nb.has_image(cell):
            meta = cell.metadata.get("mystnb", {})
            alt = meta.get("image", {}).get("alt", "")
            figure = meta.get("figure", {})
            assert len(alt) >= 20, (
                f"{cell.id}: mystnb.image.alt requires a sentence. Found {alt!r}."
            )
            assert figure.get("caption"), f"{cell.id}: mystnb.figure.caption"
            assert re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")), (
                f"{cell.id}: figure.name"
            )
        for text in nb.texts(cell):
            for tag in re.findall(r"<img\b[^>]*>", text):
                assert re.search(r'\balt="[^"]{20,}"', tag), f"{cell.id}: {tag[-120:]}"


@each_notebook
def test_size(path: Path) -> None:
    assert path.stat().st_size <= PER_NOTEBOOK


def test_size_of_the_book() -> None:
    assert sum(path.stat().st_size for path in nb.CHAPTERS) <= PER_BOOK


@each_lesson
def test_header_and_closing_sections(path: Path) -> None:
    markdown = [cell.source for cell in nb.cells(path, "markdown")]
    assert nb.read(path).cells[0].source.startswith("# ")
    text = "\n".join(markdown)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    header = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0].lower()
    for word in ("prove", "compute", "see", "need", "minute"):
        assert word in header, f"the header does not say {word!r}"
    headings = re.findall(r"^## +(.+)$", text, re.MULTILINE)
    for wanted in ("Summary", "Exercises", "Further reading"):
        assert wanted in headings, f"no section {wanted!r} in {headings}"
    assert any("falsify" in heading.lower() for heading in headings)
    assert re.search(r"predict", text, re.IGNORECASE), "no 'predict first'"


def test_reference_pages_lead_to_the_chapters() -> None:
    for path in set(nb.NOTEBOOKS) - set(nb.LESSONS):
        markdown = [cell.source for cell in nb.cells(path, "markdown")]
        titles = re.findall(r"^# ", "\n".join(markdown), re.MULTILINE)
        assert len(titles) == 1
        assert markdown[0].startswith("# ")
        links = re.findall(r"\]\((\.\./[\w./-]+\.ipynb)\)", "\n".join(markdown))
        assert links, f"{nb.name(path)} links to no chapter"
        assert all((path.parent / link).exists() for link in links)


@each_notebook
def test_directives_are_colon_fenced(path: Path) -> None:
    for cell in nb.cells(path, "markdown"):
        found = re.search(r"^`{3,}\{[\w:-]+\}", cell.source, re.MULTILINE)
        assert not found, (
            f"{cell.id}: {found[0]} loses its title and shows raw TeX outside the site"
        )


@each_lesson
def test_every_exercise_has_one_hidden_solution(path: Path) -> None:
    found = nb.directives(path)
    exercises = [d.options.get("label") for d in found if d.name in ("exercise", "exercise-start")]
    solutions = [d for d in found if d.name in ("solution", "solution-start")]
    assert all(exercises), "an exercise has no label"
    assert sorted(exercises) == sorted(d.argument for d in solutions)
    assert 3 <= len(exercises) <= 8
    for solution in solutions:
        assert "dropdown" in solution.options.get("class", ""), f"{solution.argument} is not hidden"
    starts = sum(d.name == "solution-start" for d in found)
    assert starts == sum(d.name == "solution-end" for d in found)


@each_notebook
def test_every_statement_is_proved_and_checked(path: Path) -> None:
    found = nb.directives(path)
    statements = {
        d.options.get("label"): d.cell
        for d in found
        if d.name in [f"prf:{kind}" for kind in nb.STATEMENTS]
    }
    assert None not in statements, "a statement has no label"
    checked: dict[str, int] = {}
    for label, cell in nb.checks(path):
        checked.setdefault(label, cell)
    assert sorted(set(statements) - set(checked)) == [], "statements without a check"
    assert sorted(set(checked) - set(statements)) == [], "checks that name no statement"
    for label, cell in statements.items():
        assert checked[label] > cell, f"{label} is checked before it is stated"
    proofs = sum(d.name == "prf:proof" for d in found)
    assert proofs >= len(statements), f"{len(statements)} statements, {proofs} proofs"


@each_notebook
def test_every_check_printed_its_line(path: Path) -> None:
    printed = "\n".join(text for cell in nb.cells(path, "code") for text in nb.texts(cell))
    for label, _ in nb.checks(path):
        assert re.search(rf"^{label}: [1-9]\d* points?, 0 violations", printed, re.MULTILINE), label


@each_notebook
def test_ignored_outputs_are_few_and_say_why(path: Path) -> None:
    for cell in nb.read(path).cells:
        tags = cell.metadata.get("tags", [])
        assert "nbval-skip" not in tags, f"{cell.id} is skipped"
        assert "raises-exception" not in tags, f"{cell.id} raises"
        if "nbval-ignore-output" in tags:
            assert len(cell.metadata.get("reason", "")) >= 10, f"{cell.id} gives no reason"
        assert "NBVAL_" not in cell.source, f"{cell.id}: tags, not comments"


def test_share_of_ignored_outputs() -> None:
    code = [cell for path in nb.CHAPTERS for cell in nb.cells(path, "code")]
    ignored = sum("nbval-ignore-output" in cell.metadata.get("tags", []) for cell in code)
    assert ignored <= IGNORED_SHARE * len(code)


@each_notebook
def test_citations_are_in_the_bibliography(path: Path) -> None:
    bibliography = (nb.ROOT / "book/references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{([^,]+),", bibliography, re.MULTILINE))
    text = "\n".join(cell.source for cell in nb.cells(path, "markdown"))
    cited = {key.strip() for found in CITATION.findall(text) for key in found.split(",")}
    assert cited - known == set()


@each_notebook
def test_spelling(path: Path) -> None:
    text = "\n\n".join(cell.source for cell in nb.read(path).cells)
    command = [sys.executable, "-m", "codespell_lib", "--toml", "pyproject.toml", "-"]
    result = subprocess.run(command, cwd=nb.ROOT, input=text, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@each_chapter
def test_chapter_is_in_the_table_of_contents(path: Path) -> None:
    assert str(path.relative_to(nb.ROOT).with_suffix("")) in nb.toc_files()


def test_table_of_contents_names_files_once() -> None:
    files = nb.toc_files()
    assert len(files) == len(set(files))
    for file in files:
        assert any((nb.ROOT / file).with_suffix(suffix).exists() for suffix in (".md", ".ipynb"))


def test_labels_are_unique_in_the_book() -> None:
    labels = Counter(
        d.options["label"]
        for path in nb.CHAPTERS
        for d in nb.directives(path)
        if "label" in d.options
    )
    assert [label for label, count in labels.items() if count > 1] == []
