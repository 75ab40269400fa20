"""The record of runs, and the page made from it."""

import sys

import environment
import notebooks as nb
import pytest


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "RECORD", tmp_path / "last-run.json")
    return environment


def test_a_command_is_recorded_with_its_result(record):
    assert record.note_command([sys.executable, "-c", "pass"]) == 0
    assert record.note_command([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    held = record.load()["commands"]
    assert sorted(run["passed"] for run in held.values()) == [False, True]
    page = record.page([])
    assert "| passed |" in page
    assert "| **failed** |" in page
    assert f"| torch | {record.place()['torch']} |" in page


REPORT = """<testsuites><testsuite>
<testcase classname="book.part.one-two.ipynb" name="Cell 0" time="7.5" />
<testcase classname="book.part.one-two.ipynb" name="Cell 1" time="4.6" />
<testcase classname="tests.book.template.ipynb" name="Cell 0" time="9" />
<testcase classname="tests.book.test_api" name="test" time="9" />
</testsuite></testsuites>"""


def test_notebooks_are_recorded_from_the_tests_and_one_that_was_not_is_named(record, tmp_path):
    report = tmp_path / "tests.xml"
    report.write_text(REPORT)
    found = record.tested(report)
    assert list(found) == ["book/part/one-two.ipynb"]
    record.note_notebooks(found | {"book/part/three.ipynb": (30.2, 21.7)})
    page = record.page(["book/part/one-two", "book/part/three", "book/part/four"])
    assert "| [one-two](../part/one-two.ipynb) | 12 | not recorded | 20" in page
    assert "| [three](../part/three.ipynb) | 30 | 22 | 20" in page
    assert "| [four](../part/four.ipynb) | not recorded | not recorded | not recorded |" in page
    assert "2 notebooks recorded, 1 minutes in all, the median 30 seconds, the longest 30." in page


def test_a_column_that_no_run_filled_is_left_out(record):
    record.note_notebooks({"book/part/one.ipynb": (30.2, None)})
    page = record.page(["book/part/one", "book/part/two"])
    assert "| notebook | seconds by the clock | date |\n|---|---:|---|\n" in page
    assert "| [two](../part/two.ipynb) | not recorded | not recorded |" in page


def test_the_record_holds_no_path():
    if environment.RECORD.exists():
        assert str(nb.ROOT) not in environment.RECORD.read_text(encoding="utf-8")


def test_the_page_says_what_to_look_at_by_hand():
    page = (nb.ROOT / "book/reference/environment.md").read_text(encoding="utf-8")
    for front_end in ("Google Colab", "VS Code"):
        part = page.split(f"**{front_end}**")[1].split("\n\n")[1]
        assert [line[:3] for line in part.splitlines() if line[0].isdigit()] == [
            "1. ",
            "2. ",
            "3. ",
        ]
