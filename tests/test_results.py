import pandas
import pytest

import curvlab
from curvlab.results import FOLDER, available, results


def test_a_table_is_read(tmp_path):
    (tmp_path / "accuracy.csv").write_text("method,value\nplain,0.5\n")
    table = results("accuracy", tmp_path)
    assert table.to_dict("records") == [{"method": "plain", "value": 0.5}]


def test_available_tables(tmp_path):
    assert available(tmp_path) == []
    (tmp_path / "b.csv").write_text("x\n1\n")
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert available(tmp_path) == ["a", "b"]


def test_an_unknown_table_lists_what_there_is(tmp_path):
    (tmp_path / "accuracy.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match=r"among accuracy. Found 'cost'"):
        results("cost", tmp_path)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_every_shipped_table_is_tidy(path):
    table = curvlab.results(path.stem)
    assert isinstance(table, pandas.DataFrame)
    assert len(table)
    assert not table.duplicated().any()
    # Verdicts follow from other tables; the benchmark's table has columns of its own.
    elsewhere = {"claims", "peers"}
    assert path.stem in elsewhere or {"commit", "machine", "torch"} <= set(table.columns)
