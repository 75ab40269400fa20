import pytest

from curvlab.figures.table import Table


def test_markdown_and_text_hold_the_same_entries():
    table = Table("Two.", ["n", "square"], [["one", "1"], ["two", "4"]])
    assert table._repr_markdown_().splitlines() == [
        "**Table.** Two.", "", "| n | square |", "| --- | ---: |", "| one | 1 |", "| two | 4 |",
    ]
    assert repr(table).splitlines() == ["Two.", "n    square", "one       1", "two       4"]


def test_two_columns_of_text():
    table = Table("Two.", ["a", "word", "n"], [["x", "y", "10"]], texts=2)
    assert table._repr_markdown_().splitlines()[3] == "| --- | --- | ---: |"
    assert repr(table).splitlines()[1:] == ["a  word   n", "x  y     10"]


def test_what_follows_a_line_break_stands_below():
    table = Table("A mean.", ["n", "mean"], [["one", "2.0\n1.9 2.1"]])
    assert table._repr_markdown_().endswith("| one | 2.0<br><small>1.9 2.1</small> |")
    assert repr(table).splitlines()[2] == "one  2.0 (1.9 2.1)"


def test_a_table_may_be_empty():
    assert Table("None yet.", ["n"], [])._repr_markdown_().endswith("| n |\n| --- |")


def test_a_row_of_another_length():
    with pytest.raises(ValueError, match=r"requires 2 entries a row. Found \['one'\]."):
        Table("Two.", ["n", "square"], [["one"]])
