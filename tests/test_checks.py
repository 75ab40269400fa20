"""The checker fails when it must: its own tests break statements on purpose."""
# ruff: noqa: PT012  (a check raises when its block closes, so the block is the statement)

import math

import numpy as np
import pytest
import torch

from curvlab.checks import CheckError, check, printed_checks, read_ledger

POINTS = torch.linspace(0.1, 3.0, 30)


def test_true_bound_prints_one_stable_line(capsys):
    with check("thm-sandwich") as c:
        c.at_most(POINTS.sin(), POINTS, tolerance=1e-9)
        c.mutation("bound halved").at_most(POINTS.sin(), POINTS / 2)
    assert capsys.readouterr().out == (
        "thm-sandwich: 30 points, 0 violations; mutation caught: bound halved\n"
    )


def test_broken_bound_fails_with_the_worst_violation_and_its_index(capsys):
    values = torch.zeros(4, 5)
    values[2, 3] = 2.0
    values[1, 1] = 1.5
    with pytest.raises(CheckError, match=r"20 points, 2 violations; worst at index \(2, 3\)"), \
            check("thm-broken") as c:
        c.at_most(values, 1.0)
        c.loose("a broken bound needs no mutation")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("relation", "left", "right"),
    [
        ("at_most", 1.1, 1.0),
        ("at_least", 0.9, 1.0),
        ("close", 1.1, 1.0),
        ("close", 0.9, 1.0),
        ("equal", 1.0 + 1e-12, 1.0),
        ("at_most", math.nan, 1.0),
        ("at_most", 1.0, math.nan),
        ("at_least", math.nan, 1.0),
        ("close", math.nan, math.nan),
        ("at_most", math.inf, math.inf),
        ("at_most", math.inf, 1.0),
        ("at_least", -math.inf, 1.0),
    ],
)
def test_each_relation_can_fail(relation, left, right):
    with pytest.raises(CheckError, match="3 points, 1 violations"), check("lem-one") as c:
        getattr(c, relation)([1.0, left, 1.0], [1.0, right, 1.0])
        c.loose("fails before")


def test_a_condition_can_fail():
    with pytest.raises(CheckError, match=r"worst at index \(1,\)"), check("cor-truth") as c:
        c.holds(torch.tensor([True, False]))
    with pytest.raises(TypeError, match="requires booleans"):
        check("cor-truth").holds([0.0, 1.0])


def test_nan_outranks_every_other_violation():
    with pytest.raises(CheckError, match=r"worst at index \(1,\)"), check("lem-nan") as c:
        c.at_most([5.0, math.nan, 7.0], 1.0)


def test_zero_points_fail():
    with pytest.raises(CheckError, match="at least one point"), check("prop-empty") as c:
        c.at_most(torch.zeros(0), torch.zeros(0))
        c.loose("nothing to break")


def test_a_check_without_a_mutation_fails():
    with pytest.raises(CheckError, match="requires a mutation"), check("thm-unproved") as c:
        c.at_most(POINTS.sin(), POINTS)


def test_a_mutation_that_survives_fails():
    with pytest.raises(CheckError, match="was not caught on 30 points"), check("thm-slack") as c:
        c.at_most(POINTS.sin(), 1000 * POINTS)
        c.mutation("bound halved").at_most(POINTS.sin(), 500 * POINTS)


@pytest.mark.parametrize("points", [POINTS[:3], POINTS[:0]])
def test_a_mutation_on_other_points_fails(points):
    with pytest.raises(CheckError, match="requires the same points"), check("thm-other") as c:
        c.at_most(POINTS.sin(), POINTS)
        c.mutation("bound halved").at_most(points.sin(), points / 2)


@pytest.mark.parametrize("label", ["sandwich", "theorem-x", "thm-", "thm-Big", "thm x", "", "df-x"])
def test_a_mislabelled_statement_fails(label):
    with pytest.raises(ValueError, match="requires the label of a statement"):
        check(label)


def test_broadcasting_is_refused():
    with pytest.raises(ValueError, match=r"Found \(3,\) and \(3, 1\)"):
        check("lem-shape").at_most(torch.zeros(3), torch.zeros(3, 1))


def test_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance of at least 0"):
        check("lem-tolerance").at_most(1.0, 2.0, tolerance=-1.0)


@pytest.mark.parametrize("words", ["", "a; b", "a, b", "a\nb"])
def test_bad_words_are_refused(words):
    with pytest.raises(ValueError, match="requires a few words"):
        check("lem-words").mutation(words)


@pytest.mark.parametrize("words", ["", "  ", "a\nb"])
def test_bad_reasons_are_refused(words):
    with pytest.raises(ValueError, match="requires one line"):
        check("lem-words").loose(words)


def test_an_error_inside_is_not_hidden(capsys):
    with pytest.raises(ZeroDivisionError), check("lem-error"):
        1 / 0  # noqa: B018
    assert capsys.readouterr().out == ""


def test_numpy_lists_and_scalars_are_points(capsys):
    with check("lem-types") as c:
        c.at_least(np.arange(3.0), [0.0, 1.0, 2.0])
        c.close(1.0, 1.0 + 1e-9, relative=1e-6)
        c.loose("types only")
    assert capsys.readouterr().out == "lem-types: 4 points, 0 violations; loose: types only\n"


def test_ledger_keeps_the_tightest_ratio_and_reads_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CURVLAB_LEDGER", str(tmp_path / "ledger"))
    for _ in range(2):
        with check("thm-half") as c:
            c.at_most([1.0, 2.0, -5.0, 0.0], [4.0, 2.5, 1.0, 0.0])
            c.close([1.0, 1.25, 0.0, 3.0], [1.0, 1.0, 0.0, 3.0], tolerance=0.5)
            c.mutation("bound halved").at_most([1.0, 2.0, -5.0, 0.0], [2.0, 1.25, 0.5, 0.0])
            c.mutation("sign lost").at_most([1.0, 2.0, 5.0, 0.0], [4.0, 2.5, 1.0, 0.0])
    (record,) = read_ledger(tmp_path / "ledger")
    assert record.points == 8
    assert record.tightest == pytest.approx(0.8)
    assert record.error == pytest.approx(0.25)
    assert record.mutations == {"bound halved": 1, "sign lost": 1}
    printed = list(printed_checks("noise\n" + capsys.readouterr().out))
    assert [found.label for found in printed] == ["thm-half"] * 2
    assert printed[0].points == 8
    assert set(printed[0].mutations) == {"bound halved", "sign lost"}


def test_no_ledger_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("CURVLAB_LEDGER", raising=False)
    monkeypatch.chdir(tmp_path)
    with check("lem-quiet") as c:
        c.equal(1, 1)
        c.loose("one point")
    assert not list(tmp_path.iterdir())
