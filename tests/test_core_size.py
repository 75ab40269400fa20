"""The core stays small enough to read in one sitting."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

import curvlab

SOURCE = Path(curvlab.__file__).parent
QUIET = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text):
    """The numbers of the lines that hold code: no docstring, comment or blank line."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in QUIET:
            code |= set(range(token.start[0], token.end[0] + 1))
    return code - docstrings


def test_counter_on_a_known_text():
    text = '"""Doc."""\n\nx = """a\nb"""  # two lines\n# none\ndef f():\n    "doc"\n    return x\n'
    assert code_lines(text) == {3, 4, 6, 8}


def test_calculus_and_spectrum_are_300_lines():
    texts = [(SOURCE / name).read_text() for name in ("calculus.py", "spectrum.py")]
    assert sum(len(code_lines(text)) for text in texts) <= 300


@pytest.mark.parametrize("name", ["calculus.py", "spectrum.py", "losses.py", "networks.py"])
def test_core_lines_hold_100_characters_and_one_statement(name):
    text = (SOURCE / name).read_text()
    assert max(map(len, text.splitlines())) <= 100
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    assert not [token for token in tokens if token.string == ";"]


@pytest.mark.parametrize("name", ["calculus.py", "spectrum.py"])
def test_core_hides_nothing_in_other_modules(name):
    tree = ast.parse((SOURCE / name).read_text())
    froms = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {module for module in froms if module.startswith("curvlab")} <= {"curvlab.calculus"}


@pytest.mark.parametrize("name", ["calculus.py", "spectrum.py", "losses.py", "networks.py"])
def test_public_functions_have_a_runnable_example(name):
    helpers = {"leaf", "require_batch", "per_example", "refuse_batch_statistics", "require_like"}
    helpers |= {"check_labels", "he_init", "ritz", "unit", "random_like"}
    tree = ast.parse((SOURCE / name).read_text())
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
    for function in public:
        text = ast.get_docstring(function) or ""
        assert text, function.name
        assert ">>>" in text or function.name in helpers, function.name
