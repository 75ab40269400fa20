"""The Krylov stepper's state and its sentence, against curvlab and exact eigenvalues."""

import numpy as np
import pytest
import torch

from curvlab.calculus import hessian_operator
from curvlab.interactive import krylov_stepper
from curvlab.losses import margin_cross_entropy
from curvlab.networks import MLP
from curvlab.spectrum import lanczos, ritz

VALUES = dict(krylov_stepper.VALUES)


@pytest.fixture(scope="module")
def held():
    torch.manual_seed(0)
    model = MLP((9, 8, 3), "tanh").double()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    x = torch.randn(20, 9, dtype=torch.float64)
    y = torch.arange(20) % 3
    for i in range(20):
        try:
            return (
                model,
                x[i : i + 1],
                y[i : i + 1],
                krylov_stepper.state(model, x[i : i + 1], y[i : i + 1], most=9),
            )
        except ValueError:
            continue
    raise AssertionError("requires an example whose top eigenvalue leads. Found none.")


def test_the_hessian_is_the_exact_one(held):
    model, x, y, _ = held
    matrix, gradient = krylov_stepper.exact_hessian(model, x, y)
    truth = torch.autograd.functional.hessian(lambda x: margin_cross_entropy(model(x), y).sum(), x)
    np.testing.assert_allclose(matrix, truth.reshape(9, 9), atol=1e-12)
    op = hessian_operator(lambda x: margin_cross_entropy(model(x), y), x)
    np.testing.assert_allclose(gradient, op.gradient[0].detach(), atol=1e-14)


def test_it_runs_the_lanczos_of_curvlab(held):
    *_, state = held
    spectrum = state["spectra"][0]
    values = torch.tensor(spectrum["eigenvalues"], dtype=torch.float64)
    start = torch.tensor(spectrum["starts"]["random"], dtype=torch.float64)[None]
    found = krylov_stepper.run(state, VALUES)
    for k in range(1, 6):
        truth = ritz(lanczos(lambda v: v * values, start, k)).values[0]
        np.testing.assert_allclose(found.ritz[k - 1], truth, atol=1e-9)


def test_lanczos_finds_the_whole_spectrum_and_power_iteration_lags(held):
    *_, state = held
    found = krylov_stepper.run(state, VALUES)
    assert found.ritz[-1][-1] == pytest.approx(found.top, rel=1e-10)
    assert all(a[-1] <= b[-1] + 1e-12 for a, b in zip(found.ritz, found.ritz[1:], strict=False))
    for k, column in enumerate(found.ritz):
        assert column[-1] >= found.power[k] - 1e-12


def test_a_tie_stops_power_iteration(held):
    *_, state = held
    found = krylov_stepper.run({**state, "most": 300}, VALUES | {"spectrum": "tie"})
    assert abs(found.power[-1] - found.power[-2]) < 1e-6
    assert abs(found.power[-1]) < 0.99 * found.top


def test_ghosts_appear_without_reorthogonalization_only():
    eigenvalues = [100.0, *np.linspace(0, 1, 60).tolist()]
    spectrum = {"name": "s", "eigenvalues": eigenvalues, "starts": {"random": [1.0] * 61}}
    state = {"spectra": [spectrum], "most": 48}
    values = VALUES | {"spectrum": "s", "steps": 48}
    assert "ghost cop" in krylov_stepper.readout(state, values | {"reorthogonalize": False})
    assert "ghost" not in krylov_stepper.readout(state, values)


def test_the_sentence(held):
    *_, state = held
    text = krylov_stepper.readout(state, VALUES | {"steps": 9})
    assert text.startswith("9 Hessian-vector products. Largest eigenvalue ")
    assert "equal to ten digits" in text
    assert krylov_stepper.readout(state, VALUES | {"steps": 1}).startswith("1 Hessian-vector p")


def test_clear_errors(held):
    model, x, y, _ = held
    with pytest.raises(ValueError, match="requires one example"):
        krylov_stepper.state(model, torch.cat([x, x]), torch.cat([y, y]))
    concave = torch.nn.Sequential(torch.nn.Flatten(), Concave())
    with pytest.raises(ValueError, match="leads in magnitude"):
        krylov_stepper.state(concave, torch.ones(1, 4), torch.tensor([0]))


class Concave(torch.nn.Module):
    """Logits whose loss bends down along every direction but few."""

    def forward(self, x):
        return torch.stack([8 * (x**2).sum(1) - 40, torch.zeros(len(x), dtype=x.dtype)], 1)
