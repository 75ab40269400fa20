"""The page of the interface lists every public name once, with what it says of itself."""

import ast
import importlib
import inspect
import re

import api
import bookapi
import notebooks as nb
import pytest

PAGE = (nb.ROOT / "book/reference/api.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^### `([\w.]+)`$", PAGE, re.MULTILINE)


def test_every_module_is_listed():
    assert set(api.FIRST) <= set(api.MODULES)
    for module in api.MODULES:
        assert PAGE.count(f"\n## `curvlab.{module}`\n") == 1


@pytest.mark.parametrize("module", api.MODULES)
def test_every_public_name_is_there(module):
    held = importlib.import_module(f"curvlab.{module}")
    wanted = {
        name
        for name, value in vars(held).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)))
        and value.__module__.startswith(held.__name__)
    }
    assert wanted == {
        name.removeprefix(f"{module}.") for name in LISTED if name.split(".")[0] == module
    }


def test_addresses_of_methods_are_unique():
    anchors = [name.lower().replace(".", "") for name in LISTED]
    for anchor in anchors:
        if anchor.startswith(("penalties", "objectives")):
            assert anchors.count(anchor) == 1


@pytest.mark.parametrize("module", api.MODULES)
def test_entries_say_what_the_package_says(module):
    held = importlib.import_module(f"curvlab.{module}")
    for name in api.names(module):
        section = PAGE.split(f"### `{name.shown}`\n")[1].split("\n### ")[0]
        value = getattr(held, name.node.name)
        if isinstance(name.node, ast.FunctionDef):
            for parameter in inspect.signature(value).parameters:
                assert re.search(rf"\b{parameter}\b", section), (name.shown, parameter)
        if value.__doc__ and not name.shown.endswith("Protocol"):
            assert api.prose(inspect.getdoc(value)).split("\n")[0] in section


def test_a_link_names_the_lines_of_a_definition(monkeypatch):
    monkeypatch.setenv("BOOK_REPOSITORY", "someone/book")
    (link,), _ = bookapi.src("src", "", "losses.py softplus", 1, None)
    address, start, end = re.fullmatch(r"(\S+)#L(\d+)-L(\d+)", link["refuri"]).groups()
    assert address == "https://github.com/someone/book/blob/main/src/curvlab/losses.py"
    lines = (api.PACKAGE / "losses.py").read_text(encoding="utf-8").splitlines()
    assert lines[int(start) - 1].startswith("def softplus(")
    assert int(end) > int(start)
    with pytest.raises(ValueError, match="requires a definition"):
        bookapi.lines(api.PACKAGE / "losses.py", "nothing")


def test_without_an_address_the_path_is_shown(monkeypatch):
    monkeypatch.setattr(bookapi.address, "repository", lambda: "")
    (shown,), _ = bookapi.src("src", "", "losses.py softplus", 1, None)
    assert shown.astext() == "src/curvlab/losses.py"


def test_examples_are_the_docstrings_own():
    name = next(n for n in api.names("losses") if n.node.name == "softplus")
    assert ">>> softplus(torch.zeros(2), beta=2.0)" in api.entry(name)
    assert api.prose("One `a < b` and c<d*e.\n\n>>> 1\n1") == (
        "One `a < b` and c\\<d\\*e.\n\n```pycon\n>>> 1\n1\n```"
    )
