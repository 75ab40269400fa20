"""Every public method has its line of evidence, and every counter-example runs."""

import inspect

import counterexamples as ce
import methods
import notebooks as nb
import pytest
import torch

from curvlab import objectives, penalties
from curvlab.penalties import JacobianFrobenius, Llr

PAIRS = [(name, method) for name, held in ce.FOOLED.items() for method in held]
IDS = [f"{name}-{type(method).__name__}" for name, method in PAIRS]
PAGE = (nb.ROOT / "book/reference/methods.md").read_text(encoding="utf-8")


def fools(method, family):
    """Along the family the rise grows fivefold beside what the method sees."""
    first, second = (ce.run(method, family, free) for free in (family.first, family.second))
    assert sum(c * c for c in family.witness) <= 1
    assert min(first.rise, second.rise) > 0
    grown = second.rise * max(first.value, 1e-12) >= 5 * first.rise * max(second.value, 1e-12)
    return grown and second.value <= first.value + 1e-12


@pytest.mark.parametrize(("name", "method"), PAIRS, ids=IDS)
def test_no_function_of_the_value_bounds_the_rise(name, method):
    assert fools(method, ce.FAMILIES[name])


def test_a_method_that_sees_a_family_is_not_fooled():
    assert not fools(JacobianFrobenius(probes=None), ce.FAMILIES["ridge"])


def test_every_positive_function_is_a_cross_entropy():
    x = torch.linspace(-3, 3, 50, dtype=torch.float64).unsqueeze(1)
    zero = torch.zeros(50, dtype=torch.int64)
    logits = ce.classifier(lambda x: 0.01 + x[:, 0].square())(x)
    found = torch.nn.functional.cross_entropy(logits, zero, reduction="none")
    torch.testing.assert_close(found, 0.01 + x[:, 0].square())


def public(module):
    """The public names of a module that are its own."""
    return {
        name
        for name, held in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(held) or inspect.isfunction(held))
        and held.__module__.startswith(module.__name__)
    }


def test_every_public_class_has_an_entry():
    named = [m.name for m in methods.METHODS]
    wanted = public(penalties) | {n for n in public(objectives) if n[0].isupper()}
    assert len(named) == len(set(named))
    assert wanted == set(named) | set(methods.PARTS)
    for name in named:
        assert PAGE.count(f"\n### `{name}`\n") == 1, name
    for name in methods.PARTS:
        assert f"[`{name}`](api.md#" in PAGE, name


@pytest.mark.parametrize("method", methods.METHODS, ids=lambda m: m.name)
def test_every_entry_is_whole(method):
    module = "penalties" if method in methods.PENALTIES else "objectives"
    section = PAGE.split(f"\n### `{method.name}`\n")[1].split("\n### ")[0]
    line = f"from curvlab.{module} import {method.name}"
    assert line in section
    exec(line, {})
    assert type(methods.made(method.call)).__name__ == method.name
    for part in ("**Derived in** [", "**Bound.** ", "**Checked.** ", "**Cost of a step.** "):
        assert part in section, part
    assert "**What does not follow.**" in section
    if "None" in method.text:
        assert methods.fooled(method.name)
    else:
        assert method.statements or "inequality" in method.text
    for label in method.statements:
        assert label in methods.stated(), label
    file, heading = next(place for place in method.derived if place[0] in nb.toc_files())
    assert not heading or heading in methods.headings(file)


def test_links_name_methods_that_exist():
    named = {m.name for m in methods.METHODS}
    for label, (who, _) in methods.LINKS.items():
        assert set(who) <= named, label
        assert label in methods.stated(), label


# --- the bounds that the page itself puts together


def line(length, seed):
    """A random smooth loss on an interval, its values and two derivatives on a fine grid."""
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 5, generator=draw, dtype=torch.float64)
    t = torch.linspace(-length, length, 4001, dtype=torch.float64).unsqueeze(1)
    k = torch.arange(1, 6)
    value = (a * torch.sin(k * t) + b * torch.cos(k * t)).sum(1)
    slope = (k * (a * torch.cos(k * t) - b * torch.sin(k * t))).sum(1)
    bend = (-k * k * (a * torch.sin(k * t) + b * torch.cos(k * t))).sum(1)
    return t[:, 0], value, slope, bend


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("h", [0.05, 0.5])
def test_a_difference_and_curvature_bound_the_loss(seed, h):
    t, value, slope, bend = line(0.5, seed)
    center, g = value[2000], slope[2000]
    low, high = (-bend).max().clamp(min=0), bend.max().clamp(min=0)
    there = value[(t - h * g.sign()).abs().argmin()]
    bound = 0.5 * ((there - center) / h + h / 2 * low) + 0.5**2 / 2 * high
    assert value.max() - center <= bound + 1e-9


def test_the_plane_and_its_error_bound_the_loss_and_neither_does_alone():
    rises, planes, errors = [], [], []
    for seed in range(30):
        t, value, slope, _ = line(0.5, seed)
        rise = value - value[2000]
        rises.append(rise.max())
        planes.append(0.5 * slope[2000].abs())
        errors.append((rise - slope[2000] * t).abs().max())
    rises, planes, errors = map(torch.stack, (rises, planes, errors))
    assert bool((rises <= planes + errors + 1e-12).all())
    assert bool((rises > planes).any())
    assert bool((rises > errors).any())


def test_llr_is_at_least_the_error_that_it_finds():
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    method = Llr(epsilon=1.0, norm="l2", steps=40, step_size=1.0)
    found = method(ce.tilt(0.1), x, y, generator=torch.Generator().manual_seed(0)).penalty
    assert float(found.detach()) >= 0.1 - 1e-9  # the error's maximum, by hand


def test_pinsker_bounds_the_loss_by_the_divergence():
    draw = torch.Generator().manual_seed(0)
    p, q = (3 * torch.randn(20000, 4, generator=draw, dtype=torch.float64)).softmax(1).chunk(2)
    divergence = (p * (p / q).log()).sum(1)
    room = p[:, 0] - (divergence / 2).sqrt()
    kept = room > 0
    assert int(kept.sum()) > 500
    assert bool((-q[kept, 0].log() <= -room[kept].log() + 1e-12).all())
    assert bool((q[room > 0.5].argmax(1) == 0).all())


def test_the_cross_lipschitz_value_is_the_centered_norm():
    draw = torch.Generator().manual_seed(0)
    jacobian = torch.randn(5, 7, generator=draw, dtype=torch.float64)
    centered = jacobian - jacobian.mean(0)
    value = (jacobian[:, None] - jacobian[None]).square().sum() / 25
    assert torch.isclose(value, 2 / 5 * centered.square().sum())
    # sqrt(2) |J_c| <= sqrt(C R): what the page puts into the bound
    assert 2**0.5 * torch.linalg.matrix_norm(centered, 2) <= (5 * value).sqrt()
