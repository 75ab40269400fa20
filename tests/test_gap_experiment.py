"""The experiment over training-set sizes: nested images, shared starts, risks as they are named.
About five seconds."""

import generalization
import pytest
import torch

from curvlab.data import Examples
from curvlab.losses import margin_cross_entropy


def images(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 28, 28, generator=draw)
    return Examples(x, torch.arange(count) % 10)


def test_smaller_sizes_are_the_start_of_larger_ones():
    split = images(50)
    small, large = generalization.drawn(split, 10, 3), generalization.drawn(split, 30, 3)
    assert torch.equal(small.x, large.x[:10])
    assert torch.equal(small.y, large.y[:10])
    assert not torch.equal(small.x, generalization.drawn(split, 10, 4).x)


def test_methods_of_a_seed_start_from_the_same_weights():
    state = torch.random.get_rng_state()
    first, second, other = (generalization.network(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first[1].weight, second[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)


def test_risks_are_those_of_explicit_formulas():
    model, (x, y) = generalization.network(1), images(6)
    found = generalization.risks(model, Examples(x, y), 0.5, 5, 1)
    loss = margin_cross_entropy(model(x), y).detach().double()
    torch.testing.assert_close(found["loss"], loss)
    flat = x.flatten(1)
    u, v = model[1].weight.detach(), model[3].weight.detach()
    slope = 1 - torch.tanh(flat @ u.T).square()
    jacobian = torch.einsum("kj,bj,ji->bki", v, slope, u).square().sum((1, 2)).double()
    torch.testing.assert_close(found["jacobian"], jacobian, rtol=1e-4, atol=1e-6)
    assert (found["robust loss"] >= loss).all()
    excess = found["robust loss"] - loss - 0.5 * found["jacobian"]
    torch.testing.assert_close(found["excess"], excess)
    torch.testing.assert_close(found["error"], (model(x).argmax(1) != y).double())


def test_norms_of_the_weights():
    model = generalization.network(1)
    outgoing, incoming = generalization.weights(model)
    columns = [model[3].weight[:, j].norm().item() for j in range(64)]
    rows = [model[1].weight[j].norm().item() for j in range(64)]
    assert outgoing == pytest.approx(sum(columns), rel=1e-5)
    assert incoming == pytest.approx(max(rows), rel=1e-5)


def test_a_run_has_one_row_a_measurement():
    rows = generalization.run(20, 1, images(40), images(30, 1), 2, 2)
    keys = {(row["method"], row["value_varied"], row["split"], row["quantity"]) for row in rows}
    assert len(rows) == len(keys) == 5 * 2 * 6
    assert {row["images"] for row in rows if row["split"] == "train"} == {20}
    assert {row["images"] for row in rows if row["split"] == "test"} == {30}
    assert {row["steps"] for row in rows} == {2}


def test_a_finished_cell_is_believed_at_its_commit_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(generalization.data, "load", lambda *_: images(40))
    monkeypatch.setattr(generalization, "STEPS", 1)
    first = generalization.finished(20, 1, {"commit": "a"}, tmp_path)
    monkeypatch.setattr(generalization, "run", lambda *_: [{"value": 0.0}])
    assert generalization.finished(20, 1, {"commit": "a"}, tmp_path) == first
    again = generalization.finished(20, 1, {"commit": "b"}, tmp_path)
    assert again == [{"value": 0.0, "commit": "b"}]
