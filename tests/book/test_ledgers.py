"""The ledgers say what the chapters printed and what the study found."""

import importlib.util
import re
from pathlib import Path

import methods
import methods_map
import notebooks as nb
import pytest

import curvlab

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
    kept = methods_map.without_scripts  # as nbval compares a figure: by what it shows
    assert kept(text) == kept(ledgers.PAGES[name]()), "run: python tools/ledgers.py"


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


def test_an_open_claim_says_why(monkeypatch):
    ledgers = load()
    claims = curvlab.results("claims")
    open_claim = claims.index == 0
    missing = claims.assign(reason=claims.reason.where(~open_claim, "two networks are missing"))
    for table, cells in ((claims, 6), (missing, 7)):
        monkeypatch.setattr(ledgers, "results", lambda name, table=table: table)
        head, rule, first, *_ = ledgers.claims().removeprefix(ledgers.CLAIMS).split("\n")[1:]
        assert [line.count("|") - 1 for line in (head, rule, first)] == [cells] * 3
    assert first.endswith("| two networks are missing |")


def test_the_map_carries_its_state_and_its_text_twin():
    text = (ROOT / "book/reference/map.md").read_text(encoding="utf-8")
    kept = methods_map.without_scripts(text)
    assert "data-curvlab-shared" in text
    assert "data-curvlab-shared" not in kept
    assert len(kept) > 5000
    for method in methods.METHODS:
        assert f'"name":"{method.name}"' in kept
        assert f"| [`{method.name}`](methods.md#" in kept


def test_every_method_of_the_map_has_its_mark():
    kinds = {m.name: methods_map.kind(m) for m in methods.METHODS}
    assert kinds["HessianNorm"] == "ball"
    assert kinds["Cure"] == kinds["Plain"] == "none"
    assert kinds["PgdTraining"] == kinds["Scorpio"] == "below"
    assert kinds["Trades"] == "more"


@pytest.mark.parametrize(
    ("chapter", "start"),
    [
        ("first-order/generalization", "the Jacobian-regularized risk"),
        ("second-order/rectifiers", "on rectifier networks"),
        ("second-order/target-matrices", "target matrices"),
        ("guarantees/certificates", "a small curvature penalty"),
        ("evidence/robust-features", "SCORPIO's features"),
    ],
)
def test_a_chapters_verdict_is_that_of_the_table(chapter, start):
    claims = curvlab.results("claims")
    (verdict,) = claims[claims.claim.str.startswith(start)].verdict
    text = "".join(cell.source for cell in nb.cells(ROOT / f"book/{chapter}.ipynb", "markdown"))
    assert set(re.findall(r"\*\*(reproduced|mixed|refuted|open|stands)\*\*", text)) == {verdict}
