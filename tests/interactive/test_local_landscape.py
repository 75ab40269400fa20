"""The local landscape: guesses against brute force, shipped networks against a retrain."""

import numpy as np
import pytest
import torch

from curvlab.interactive import local_landscape, two_moons
from curvlab.interactive.host import unpack
from curvlab.interactive.local_landscape import Trained, attack, polar, quadratic_step, stored
from curvlab.interactive.networks import arrive
from curvlab.networks import MLP
from curvlab.penalties import InputGradient

VALUES = {**local_landscape.VALUES, "regularizer": "input gradient"}


@pytest.mark.parametrize("ball", ["l2", "linf"])
@pytest.mark.parametrize("where", [(0.35, 0.6), (0.6, 0.45), (0.1, 0.3)])
def test_no_guess_beats_the_search_and_all_stay_in_the_ball(ball, where):
    values = {**VALUES, "ball": ball, "x": where[0], "y": where[1]}
    found = attack(stored(), values)
    best = found.guesses[-1].loss
    for guess in found.guesses:
        length = guess.step.norm() if ball == "l2" else guess.step.abs().max()
        assert length <= values["radius"] * (1 + 1e-9)
        assert guess.loss <= best * (1 + 1e-4)
    held = stored()
    model = arrive(held["networks"][held["regularizers"][0]["strengths"][2]["index"]])
    line = torch.linspace(-1, 1, 201, dtype=torch.float64) * values["radius"]
    grid = torch.cartesian_prod(line, line)
    if ball == "l2":
        grid = grid[grid.norm(dim=1) <= values["radius"]]
    losses = torch.nn.functional.cross_entropy(
        model(torch.tensor(where) + grid),
        torch.zeros(len(grid), dtype=torch.long),
        reduction="none",
    )
    assert best >= losses.max() * (1 - 1e-4)


@pytest.mark.parametrize("ball", ["l2", "linf"])
@pytest.mark.parametrize("seed", range(5))
def test_the_quadratic_step_is_the_best_of_its_model(ball, seed):
    rng = torch.Generator().manual_seed(seed)
    a = torch.randn(2, 2, dtype=torch.float64, generator=rng)
    hessian, gradient = a + a.T, torch.randn(2, dtype=torch.float64, generator=rng)
    step = quadratic_step(gradient, hessian, 0.7, ball)
    radii = torch.linspace(0, 0.7, 60, dtype=torch.float64)
    turns = torch.linspace(0, 2 * np.pi, 2000, dtype=torch.float64)
    tries = polar(torch.cartesian_prod(radii, turns), ball)

    def gain(d):
        return d @ gradient + ((d @ hessian) * d).sum(-1) / 2

    assert gain(step) >= gain(tries).max() - 1e-12


def test_the_point_of_the_moons_is_seen_by_every_network():
    held = stored()
    points = torch.from_numpy(unpack(held["points"]))
    labels = torch.tensor(held["labels"])
    plain = arrive(held["networks"][0])
    assert (plain(points).argmax(1) == labels).double().mean() >= 0.99
    for packed in held["networks"]:
        assert (arrive(packed)(points).argmax(1) == labels).double().mean() >= 0.75


def test_the_shipped_networks_are_what_training_gives():
    held = stored()
    x = two_moons.data().x.double()
    strengths = held["regularizers"][0]["strengths"]
    shipped = {s["shown"]: arrive(held["networks"][s["index"]])(x) for s in strengths}
    assert two_moons.REGULARIZERS["input gradient"][0] == InputGradient()
    again = two_moons.train(InputGradient(), 0.01).double()(x)
    away = {shown: (logits - again).abs().max().item() for shown, logits in shipped.items()}
    own = away.pop("0.01")
    # Rounding differs between machines; another strength differs by far more.
    assert own < 0.2 * min(away.values())


def test_clear_errors():
    data = two_moons.data()
    net = MLP((2, 4, 2))
    with pytest.raises(ValueError, match=r"one network of strength 0\. Found 0"):
        local_landscape.state([Trained("a", 1.0, net)], data)
    uneven = [Trained("a", s, net) for s in (0.0, 1.0)] + [Trained("b", s, net) for s in (1.0, 2.0)]
    with pytest.raises(ValueError, match=r"equally many strengths.*Found \[2, 3\]"):
        local_landscape.state(uneven, data)
