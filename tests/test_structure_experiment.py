"""The experiment on structures: distances against explicit matrices, and a run's rows."""

import pytest
import structures
import torch

SIZE = 12


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(matrix):
    """A field with the same Jacobian everywhere."""
    model = torch.nn.Linear(*matrix.shape[::-1], bias=False)
    model.weight.data = matrix
    return model


@pytest.mark.parametrize("structure", structures.STRUCTURES)
def test_the_truth_has_the_structure(structure):
    field = structures.truth(structure, SIZE, draw())
    off, _ = structures.apart(field, structure, torch.randn(5, SIZE, generator=draw(1)))
    assert off.max() < 1e-5


def test_distances_are_those_of_the_explicit_jacobian():
    matrix, x = torch.randn(SIZE, SIZE, generator=draw()), torch.zeros(3, SIZE)
    swirl, size = structures.apart(linear(matrix), "symmetry", x)
    torch.testing.assert_close(size, matrix.norm().expand(3))
    torch.testing.assert_close(swirl, ((matrix - matrix.T).norm() / matrix.norm()).expand(3))
    off, _ = structures.apart(linear(matrix), "diagonality", x)
    masked = matrix * (1 - torch.eye(SIZE))
    torch.testing.assert_close(off, (masked.norm() / matrix.norm()).expand(3))


def test_a_field_of_noise_has_the_error_of_its_noise():
    field = structures.truth("diagonality", SIZE, draw())
    at = structures.points(field, 4_000, SIZE, 0.3, draw(1))
    assert structures.error(field, at).mean() == pytest.approx(SIZE * 0.09, rel=0.05)
    assert structures.error(field, at._replace(y=field(at.x))).max() == 0


@pytest.mark.parametrize("structure", structures.STRUCTURES)
def test_a_strong_penalty_brings_the_jacobian_nearer_and_validation_chooses(structure):
    rows = list(structures.run(structure, 80, 1, SIZE, 60))
    assert [row["value_varied"] for row in rows] == [0.0, *structures.MULTIPLES * 2]
    count = len(structures.MULTIPLES)
    assert [row["target"] for row in rows] == ["none"] + [structure] * count + ["zero"] * count
    for group in (rows[:1], rows[1 : count + 1], rows[count + 1 :]):
        best = min(group, key=lambda row: row["validation_error"])
        assert [row["selected"] for row in group] == [row is best for row in group]
    off = [row["known_distance"] * row["known_jacobian"] for row in rows]
    assert off[count] < off[0]
    assert rows[-1]["known_jacobian"] < rows[0]["known_jacobian"]
    assert len({row["zero_error"] for row in rows}) == 1
    for row in rows:
        assert row["distance_low"] <= row["distance"] <= row["distance_high"]
        assert row["saved_low"] <= row["saved"] <= row["saved_high"]
        assert row["saved"] == pytest.approx(rows[0]["error"] - row["error"], abs=1e-4)


def test_without_a_penalty_nothing_but_the_examples_and_the_seed_counts():
    field = structures.truth("symmetry", SIZE, draw())
    known = structures.points(field, 40, SIZE, 0.3, draw(1))
    ends = []
    for seed in (1, 1, 2):
        torch.rand(seed)
        model = structures.trained("symmetry", "zero", 0.0, known, seed, 3)
        ends.append(model.inner[0].weight)
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
