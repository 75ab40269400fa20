"""A gradient in parts is the gradient of the whole."""

import pytest
import torch

from curvlab.networks import MLP
from curvlab.parallel import Mixed, penalized_step
from curvlab.penalties import Cure, HessianNorm, InputGradient, Penalty


@pytest.mark.parametrize("penalty", [InputGradient(), HessianNorm(steps=2), Cure()])
@pytest.mark.parametrize("chunks", [2, 3, 10])
def test_accumulation_is_one_large_batch(penalty: Penalty, chunks: int) -> None:
    gradients = []
    for pieces in (1, chunks):
        torch.manual_seed(0)
        model = MLP((6, 5, 4)).double()
        x, y = torch.rand(10, 6, dtype=torch.float64), torch.arange(10) % 4
        value = penalized_step(model, penalty, x, y, strength=0.5, total=10, chunks=pieces)
        terms = penalty(model, x, y)
        mean = (terms.loss + 0.5 * terms.penalty).mean().item()
        assert value == pytest.approx(mean, rel=1e-12)
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert torch.allclose(*gradients, rtol=1e-11, atol=1e-14)


def test_mixed_keeps_weights_and_logits_in_float32() -> None:
    torch.manual_seed(0)
    network = MLP((6, 50, 4))
    x, y = torch.rand(10, 6), torch.arange(10) % 4
    seen = []
    network[1].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    terms = InputGradient()(Mixed(network), x, y)
    assert seen == [torch.bfloat16]
    assert terms.loss.dtype == terms.penalty.dtype == torch.float32
    (terms.loss + terms.penalty).mean().backward()
    assert {weight.grad.dtype for weight in network.parameters()} == {torch.float32}
    exact = InputGradient()(network, x, y)
    assert torch.allclose(terms.penalty, exact.penalty, rtol=5e-2)
    assert not torch.equal(terms.penalty, exact.penalty)


@pytest.mark.parametrize(("chunks", "total"), [(0, 10), (11, 10), (1, 9)])
def test_impossible_cuts_are_refused(chunks: int, total: int) -> None:
    x, y = torch.rand(10, 6), torch.arange(10) % 4
    with pytest.raises(ValueError, match=f"Found {chunks}, 10, {total}"):
        penalized_step(
            MLP((6, 5, 4)), InputGradient(), x, y, strength=0.5, total=total, chunks=chunks
        )
