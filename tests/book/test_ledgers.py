"""The ledgers say what the chapters printed and what the study found."""

import importlib.util
import re
from pathlib import Path

import notebooks as nb
import pytest

ROOT = Path(__file__).resolve().parents[2]


def load():
    spec = importlib.util.spec_from_file_location("ledgers", ROOT / "tools/ledgers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", load().PAGES)
def test_ledger_is_up_to_date(name):
    ledgers = load()
    text = (ledgers.REFERENCE / name).read_text(encoding="utf-8")
    assert text == ledgers.PAGES[name](), "run: python tools/ledgers.py"


def test_ledger_names_every_statement_of_the_book():
    text = load().statements()
    listed = re.findall(r"\{prf:ref\}`([\w-]+)`", text)
    kinds = [f"prf:{kind}" for kind in nb.STATEMENTS]
    stated = [
        d.options["label"]
        for file in nb.toc_files()
        if (ROOT / f"{file}.ipynb").exists()
        for d in nb.directives(ROOT / f"{file}.ipynb")
        if d.name in kinds
    ]
    assert stated
    assert sorted(listed) == sorted(stated)
