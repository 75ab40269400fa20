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
EXERCISES = range(3, 9)
# What a failing test advises.
RUN = "run `make notebooks NOTEBOOKS=...` with its path"
GUIDE = "CONTRIBUTING.md, 'What a chapter holds'"
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
    assert ids.most_common(1)[0][1] == 1, f"two cells share an id; {RUN}"
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_nothing_of_the_machine_is_saved(path: Path) -> None:
    notebook = nb.read(path)
    assert "widgets" not in notebook.metadata, f"widget state is saved; {RUN}"
    for cell in notebook.cells:
        assert "execution" not in cell.metadata, f"timing metadata in {nb.place(cell)}; {RUN}"
        shown = [cell.source, *(nb.texts(cell) if cell.cell_type == "code" else [])]
        for text in shown:
            found = MACHINE.search(re.sub(r"base64,[\w+/=]+", "", text))
            assert not found, f"a machine's path in {nb.place(cell)}: {found[0]!r}"


@each_notebook
def test_cells_ran_once_in_order_without_errors(path: Path) -> None:
    code = nb.cells(path, "code")
    assert code
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1)), (
        f"the cells were not run once from top to bottom (counts {counts}); {RUN}"
    )
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error", f"an error is saved under {nb.place(cell)}"
            assert output.get("name") != "stderr", (
                f"{nb.place(cell)} writes to stderr: {output.text[:200]!r}"
            )
        for text in nb.texts(cell):
            found = WARNING.search(text)
            assert not found, f"{nb.place(cell)} shows a warning: {found[0]!r}"


@each_notebook
def test_no_empty_cells(path: Path) -> None:
    empty = [n for n, cell in enumerate(nb.read(path).cells, 1) if not cell.source.strip()]
    assert not empty, f"cells {empty} are empty; {RUN}"


@each_notebook
def test_code_cells_are_short(path: Path) -> None:
    for cell in nb.cells(path, "code"):
        lines = len(cell.source.strip().splitlines())
        assert lines <= 15, f"{nb.place(cell)} has {lines} lines, at most 15 are allowed"
        longest = max(map(len, cell.source.splitlines()))
        assert longest <= 88, f"{nb.place(cell)} has a line of {longest} characters, at most 88"


@each_notebook
def test_no_code_is_folded_away(path: Path) -> None:
    """The theme's fold names itself otherwise than it reads, which a screen reader cannot use."""
    for cell in nb.cells(path, "code"):
        folded = {"hide-input", "hide-output", "hide-cell"} & set(cell.metadata.get("tags", []))
        assert not folded, f"remove the tags {folded} from {nb.place(cell)}"


@each_notebook
def test_images_have_alt_text_caption_and_name(path: Path) -> None:
    for cell in nb.cells(path, "code"):
        if nb.has_image(cell):
            meta = cell.metadata.get("mystnb", {})
            alt = meta.get("image", {}).get("alt", "")
            figure = meta.get("figure", {})
            assert len(alt) >= 20, (
                f"{nb.place(cell)} shows an image: its metadata requires mystnb.image.alt, a "
                f"sentence of at least 20 characters. Found {alt!r}. See {GUIDE}."
            )
            assert figure.get("caption"), (
                f"the metadata of {nb.place(cell)} requires mystnb.figure.caption. Found none."
            )
            name = figure.get("name", "")
            assert re.fullmatch(r"fig-[a-z0-9-]+", name), (
                f"the metadata of {nb.place(cell)} requires mystnb.figure.name, fig- and lower-case"
                f" words joined by hyphens. Found {name!r}."
            )
        for text in nb.texts(cell):
            for tag in re.findall(r"<img\b[^>]*>", text):
                assert re.search(r'\balt="[^"]{20,}"', tag), (
                    f"{nb.place(cell)}: an image requires an alt text of at least 20 characters. "
                    f"Found {tag[-120:]!r}."
                )


@each_notebook
def test_norms_in_tables_keep_both_bars(path: Path) -> None:
    for cell in nb.cells(path, "markdown"):
        rows = [line for line in cell.source.splitlines() if line.lstrip().startswith("|")]
        lost = [row for row in rows if re.search(r"\$[^$]*\\\|[^$]*\$", row)]
        assert not lost, rf"a table reads \| as one bar: write \lVert and \rVert in {lost[0][:60]}"


@each_notebook
def test_tables_in_outputs_are_tables_on_the_page(path: Path) -> None:
    for cell in nb.cells(path, "code"):
        if any("text/markdown" in output.get("data", {}) for output in cell.outputs):
            told = cell.metadata.get("mystnb", {}).get("markdown_format")
            assert told == "myst", f"run `make notebooks` for this cell: {cell.source[:60]}"


@each_notebook
def test_size(path: Path) -> None:
    size = path.stat().st_size
    assert size <= PER_NOTEBOOK, (
        f"{size} bytes, at most {PER_NOTEBOOK}: show fewer or smaller pictures, fewer frames"
    )


def test_size_of_the_book() -> None:
    assert sum(path.stat().st_size for path in nb.CHAPTERS) <= PER_BOOK


@each_lesson
def test_header_and_closing_sections(path: Path) -> None:
    markdown = [cell.source for cell in nb.cells(path, "markdown")]
    assert nb.read(path).cells[0].source.startswith("# ")
    text = "\n".join(markdown)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    header = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0].lower()
    said = {"prove", "compute", "see", "need", "minute"}
    missing = sorted(word for word in said if word not in header)
    assert not missing, f"the text before the first section does not say {missing}"
    headings = re.findall(r"^## +(.+)$", text, re.MULTILINE)
    for wanted in ("Summary", "Exercises", "Further reading"):
        assert wanted in headings, f"no section {wanted!r} in {headings}"
    falsified = any("falsify" in heading.lower() for heading in headings)
    assert falsified, f"no section with 'falsify' in its heading, among {headings}"
    assert re.search(r"predict", text, re.IGNORECASE), (
        "nowhere is the reader asked to predict: add 'Predict first' before a result"
    )


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
            f"{nb.place(cell)}: use ::: instead, for {found[0]} loses its title and shows raw TeX "
            "outside the site"
        )


@each_lesson
def test_every_exercise_has_one_hidden_solution(path: Path) -> None:
    found = nb.directives(path)
    exercises = [d.options.get("label") for d in found if d.name in ("exercise", "exercise-start")]
    solutions = [d for d in found if d.name in ("solution", "solution-start")]
    unlabeled = [d.argument for d in found if d.name == "exercise" and "label" not in d.options]
    assert all(exercises), f"add `:label: ex-...` to the exercises {unlabeled}"
    answered = Counter(d.argument for d in solutions)
    alone = sorted((Counter(exercises) - answered).elements())
    assert not alone, f"exercises without a solution: {alone}"
    lost = sorted((answered - Counter(exercises)).elements())
    assert not lost, f"solutions that name no exercise, or one that has a solution: {lost}"
    assert len(exercises) in EXERCISES, (
        f"requires {EXERCISES[0]} to {EXERCISES[-1]} exercises. Found {len(exercises)}."
    )
    for solution in solutions:
        assert "dropdown" in solution.options.get("class", ""), (
            f"add `:class: dropdown` to the solution of {solution.argument}, so that it is hidden"
        )
    starts = sum(d.name == "solution-start" for d in found)
    ends = sum(d.name == "solution-end" for d in found)
    assert starts == ends, f"{starts} solution-start and {ends} solution-end"


@each_notebook
def test_every_statement_is_proved_and_checked(path: Path) -> None:
    found = nb.directives(path)
    statements = {
        d.options.get("label"): d.cell
        for d in found
        if d.name in [f"prf:{kind}" for kind in nb.STATEMENTS]
    }
    assert None not in statements, (
        "a statement has no `:label: thm-...` in the line below its name"
    )
    checked: dict[str, int] = {}
    for label, cell in nb.checks(path):
        checked.setdefault(label, cell)
    unchecked = sorted(set(statements) - set(checked))
    assert not unchecked, f"no `with check(...)` names these statements: {unchecked}"
    unstated = sorted(set(checked) - set(statements))
    assert not unstated, f"these checks name no statement of the chapter: {unstated}"
    for label, cell in statements.items():
        assert checked[label] > cell, f"{label} is checked before it is stated"
    proofs = sum(d.name == "prf:proof" for d in found)
    assert proofs >= len(statements), (
        f"{len(statements)} statements and {proofs} proofs: each requires a {{prf:proof}}"
    )


@each_notebook
def test_every_check_printed_its_line(path: Path) -> None:
    printed = "\n".join(text for cell in nb.cells(path, "code") for text in nb.texts(cell))
    for label, _ in nb.checks(path):
        line = rf"^{label}: [1-9]\d* points?, 0 violations"
        found = re.search(line, printed, re.MULTILINE)
        assert found, f"the check of {label} left no line in the outputs; {RUN}"


@each_notebook
def test_ignored_outputs_are_few_and_say_why(path: Path) -> None:
    for cell in nb.read(path).cells:
        tags = cell.metadata.get("tags", [])
        assert "nbval-skip" not in tags, f"{nb.place(cell)} is skipped"
        assert "raises-exception" not in tags, f"{nb.place(cell)} raises"
        if "nbval-ignore-output" in tags:
            assert len(cell.metadata.get("reason", "")) >= 10, (
                f'the tag of {nb.place(cell)} requires a "reason" beside "tags" in its metadata'
            )
        assert "NBVAL_" not in cell.source, f"{nb.place(cell)}: use tags, not comments"


def test_share_of_ignored_outputs() -> None:
    code = [cell for path in nb.CHAPTERS for cell in nb.cells(path, "code")]
    ignored = sum("nbval-ignore-output" in cell.metadata.get("tags", []) for cell in code)
    assert ignored <= IGNORED_SHARE * len(code), (
        f"{ignored} of {len(code)} cells are not compared, at most {IGNORED_SHARE:.0%} may be"
    )


@each_notebook
def test_citations_are_in_the_bibliography(path: Path) -> None:
    bibliography = (nb.ROOT / "book/references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{([^,]+),", bibliography, re.MULTILINE))
    text = "\n".join(cell.source for cell in nb.cells(path, "markdown"))
    cited = {key.strip() for found in CITATION.findall(text) for key in found.split(",")}
    unknown = sorted(cited - known)
    assert not unknown, f"add these to book/references.bib, or correct the keys: {unknown}"


@each_notebook
def test_spelling(path: Path) -> None:
    text = "\n\n".join(cell.source for cell in nb.read(path).cells)
    command = [sys.executable, "-m", "codespell_lib", "--toml", "pyproject.toml", "-"]
    result = subprocess.run(command, cwd=nb.ROOT, input=text, capture_output=True, text=True)
    words = re.findall(r"^\t(.*==>.*)$", result.stdout, re.MULTILINE)
    assert result.returncode == 0, (
        f"misspelled, or missing in ignore-words-list of pyproject.toml: {words}"
    )


@each_chapter
def test_chapter_is_in_the_table_of_contents(path: Path) -> None:
    page = str(path.relative_to(nb.ROOT).with_suffix(""))
    assert page in nb.toc_files(), f"_toc.yml requires a line `- file: {page}` in its part"


@each_chapter
def test_nothing_of_the_template_is_left(path: Path) -> None:
    """A copy brings names, a title and a description, which search and link previews show."""
    left = [
        text
        for d in nb.directives(path)
        for text in (d.argument, d.options.get("label", ""))
        if "-template-" in text
    ]
    assert not left, f"rename what the template calls {left}"
    notebook, template = nb.read(path), nb.read(nb.TEMPLATE)
    titles = [copy.cells[0].source.splitlines()[0] for copy in (notebook, template)]
    assert titles[0] != titles[1], "the title is still the template's"
    advised = "copy it, keep its order" in notebook.cells[0].source
    assert not advised, "remove the template's advice from the first cell"
    copied = notebook.metadata.get("description", "") == template.metadata.description
    assert not copied, f"the notebook's description is the template's; {RUN}, which removes it"


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
    twice = [label for label, count in labels.items() if count > 1]
    assert not twice, f"these labels stand twice in the book: {twice}"
