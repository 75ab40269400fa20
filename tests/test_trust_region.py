import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curvlab.trust_region import trust_region


def objective(eigenvalues, coefficients, step):
    return (coefficients * step + eigenvalues * step**2 / 2).sum(-1)


def problems(seed, n, scale=1.0):
    """Definite and indefinite spectra, ties at the top, and gradients that all but miss it."""
    draw = torch.Generator().manual_seed(seed)
    eigenvalues, g = torch.randn(2, 60, n, dtype=torch.float64, generator=draw)
    eigenvalues[1::5] = -eigenvalues[1::5].abs()
    eigenvalues[2::5, -1] = eigenvalues[2::5, 0]
    top = eigenvalues.argmax(1, keepdim=True)
    shrink = 10.0 ** (-40 * torch.rand(60, 1, dtype=torch.float64, generator=draw))
    shrink[::2] = 1
    shrink[5::10] = 0
    return eigenvalues, g.scatter(1, top, g.gather(1, top) * shrink) * scale


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 12),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e3, 1e9]),
    epsilon=st.sampled_from([1e-3, 0.7, 40.0]),
)
def test_the_multiplier_certifies_the_maximum(seed, n, scale, epsilon):
    eigenvalues, g = problems(seed, n, scale)
    value, step, multiplier = trust_region(eigenvalues, g, epsilon)
    size = g.norm(dim=1) + multiplier * epsilon
    assert (multiplier >= eigenvalues.amax(1).clamp(min=0)).all()
    assert (step.norm(dim=1) <= epsilon * (1 + 1e-15)).all()
    stationary = ((multiplier.unsqueeze(1) - eigenvalues) * step - g).norm(dim=1)
    assert (stationary <= 1e-14 * size).all()
    assert (multiplier * (epsilon - step.norm(dim=1)).abs() <= 1e-14 * size).all()
    torch.testing.assert_close(value, objective(eigenvalues, g, step), rtol=1e-12, atol=0)


def test_no_point_of_a_fine_grid_does_better_and_one_comes_close():
    eigenvalues, g = problems(3, 2)
    value = trust_region(eigenvalues, g, 1.5).value
    angle = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    radii = torch.linspace(0, 1.5, 61, dtype=torch.float64)
    disc = (radii[:, None, None] * circle).reshape(-1, 1, 2)
    best = objective(eigenvalues, g, disc).amax(0)
    assert (best <= value + 1e-12).all()
    assert (value - best <= 1e-3).all()


def test_the_hard_case_reaches_the_sphere_along_the_top_eigenvector():
    # g misses the top eigenvector: d(0) = (0, 1), and the rest of the radius goes along it
    H, g = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[0.0, 3.0]]).double()
    value, step, multiplier = trust_region(H, g, 2.0)
    torch.testing.assert_close(step, torch.tensor([[3**0.5, 1.0]]).double())
    assert multiplier.item() == 2.0
    # 3 * 1 + (2 * 3 - 1) / 2
    assert value.item() == pytest.approx(5.5, rel=1e-14)


@pytest.mark.parametrize("tiny", [1e-6, 1e-12, 1e-60, 1e-300])
def test_a_nearly_hard_case_tends_to_the_hard_one(tiny):
    H, g = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[-tiny, 3.0]], dtype=torch.float64)
    value, step, _ = trust_region(H, g, 2.0)
    assert value.item() == pytest.approx(5.5 + tiny * 3**0.5, rel=1e-14)
    assert step[0, 0].item() == pytest.approx(-(3**0.5), rel=1e-5)  # the sign follows g


def test_the_edge_between_inside_and_hard():
    # |d(0)| = 1 = epsilon exactly: Newton's slowest start
    H, g = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[1e-20, 3.0]], dtype=torch.float64)
    value, step, _ = trust_region(H, g, 1.0)
    assert value.item() == pytest.approx(2.5, rel=1e-14)
    assert step.norm().item() == pytest.approx(1, rel=1e-15)


def test_a_concave_quadratic_is_maximal_inside():
    H, g = torch.tensor([[-2.0, -4.0]]).double(), torch.tensor([[0.2, 0.4]]).double()
    value, step, multiplier = trust_region(H, g, 1.0)
    torch.testing.assert_close(step, -g / H)
    assert multiplier.item() == 0
    assert value.item() == pytest.approx(0.03)


def test_nothing_to_climb_stays_put_and_flat_curvature_gives_the_gradient_norm():
    value, step, _ = trust_region(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]]), 1.0)
    assert value.item() == 0
    assert (step == 0).all()
    value, step, _ = trust_region(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), 2.0)
    assert value.item() == pytest.approx(10)
    torch.testing.assert_close(step, torch.tensor([[1.2, 1.6]]))


def test_each_row_has_its_own_radius_and_no_influence_on_the_others():
    eigenvalues, g = problems(7, 5)
    radii = torch.linspace(0.1, 3, 60, dtype=torch.float64)
    together = trust_region(eigenvalues, g, radii)
    for i in (0, 17, 59):
        alone = trust_region(eigenvalues[i : i + 1], g[i : i + 1], radii[i].item())
        assert torch.equal(alone.value, together.value[i : i + 1])
        assert torch.equal(alone.step, together.step[i : i + 1])


def test_float32_comes_back_as_float32_with_float64_inside():
    eigenvalues, g = problems(1, 6)
    single = trust_region(eigenvalues.float(), g.float(), 0.7)
    double = trust_region(eigenvalues.float().double(), g.float().double(), 0.7)
    assert single.value.dtype == torch.float32
    torch.testing.assert_close(single.value, double.value.float(), rtol=0, atol=0)


def test_bad_input_is_refused():
    ones = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"coefficients \(B, n\). Found \(2, 3\) and \(3, 2\)"):
        trust_region(ones, ones.mT, 1.0)
    with pytest.raises(ValueError, match=r"Found \(0, 3\)"):
        trust_region(ones[:0], ones[:0], 1.0)
    with pytest.raises(ValueError, match="Found NaN or infinity"):
        trust_region(ones, ones * float("nan"), 1.0)
    for epsilon in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"positive, finite epsilon. Found {epsilon}"):
            trust_region(ones, ones, epsilon)
