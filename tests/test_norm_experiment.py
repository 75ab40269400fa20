"""The experiment on norms from few products: the answers, against explicit matrices."""

import norms
import numpy as np
import pytest
import torch
from scipy.linalg import orth
from scipy.stats import binomtest

from curvlab.measures import longest_image
from curvlab.spectrum import lanczos


def symmetric(count, size, seed=0):
    draw = torch.Generator().manual_seed(seed)
    matrix = torch.randn(count, size, size, generator=draw, dtype=torch.float64)
    start = torch.randn(count, size, generator=draw, dtype=torch.float64)
    return matrix + matrix.mT, start


def test_answers_are_those_of_explicit_krylov_spaces():
    matrix, start = symmetric(3, 7)
    truth = torch.linalg.matrix_norm(matrix, ord=2)

    def product(v):
        return torch.einsum("bij,bj->bi", matrix, v)

    norm = norms.Norm(truth, product, 1.0, product, start)
    for products in (1, 2, 4):
        found = norms.answers(norm, products, torch.Generator().manual_seed(0))
        for i in range(3):
            a, v = matrix[i].numpy(), start[i].numpy()
            powers = [np.linalg.matrix_power(a, k) @ v for k in range(products + 1)]
            q = orth(np.stack(powers[:-1], 1))
            ritz = abs(np.linalg.eigvalsh(q.T @ a @ q)).max()
            assert found["Lanczos"][i].item() == pytest.approx(ritz)
            longest = np.linalg.norm(a @ q, 2)
            assert found["Lanczos, longest image"][i].item() == pytest.approx(longest)
            last = np.linalg.norm(powers[-1]) / np.linalg.norm(powers[-2])
            assert found["power iteration"][i].item() == pytest.approx(last)
            assert max(ritz, last) <= longest * (1 + 1e-12)
            assert longest <= truth[i].item() * (1 + 1e-12)


def test_the_longest_image_of_an_exhausted_space_is_the_norm():
    matrix = torch.diag_embed(torch.tensor([[3.0, -5.0, 1.0, 0.0]], dtype=torch.float64))
    start = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    krylov = lanczos(lambda v: torch.einsum("bij,bj->bi", matrix, v), start, steps=4)
    assert int(krylov.size) == 2
    assert longest_image(krylov).item() == pytest.approx(5)


def test_hutchinson_answers_with_the_frobenius_norm():
    matrix, start = symmetric(1, 5)
    start = start.expand(4_000, 5)
    norm = norms.Norm(matrix.norm(), lambda v: v, 1.0, lambda v: v @ matrix[0], start)
    found = norms.answers(norm, 5, torch.Generator().manual_seed(0))["Hutchinson"]
    mean = found.square().mean().sqrt().item()
    assert mean == pytest.approx(matrix.norm().item(), rel=0.02)


@pytest.mark.parametrize("wins", [0, 3, 10, 20])
def test_a_share_has_the_interval_of_wilson(wins):
    mine = torch.zeros(20)
    other = torch.where(torch.arange(20) < wins, 1.0, -1.0)
    share, low, high = norms.share(mine, other)
    wanted = binomtest(wins, 20).proportion_ci(method="wilson")
    assert (share, low, high) == pytest.approx((wins / 20, wanted.low, wanted.high), abs=1e-4)
    assert norms.share(mine, mine)[0] == 0.5
