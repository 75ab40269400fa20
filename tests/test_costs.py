"""What a step of every public method costs: the measurement, and the table as shipped."""

from pathlib import Path

import costs
import methods
import pytest
import torch

import curvlab
from curvlab.data import Examples
from curvlab.study import Study

PLAN = Path(costs.__file__).with_name("study.yaml")


def test_a_plain_step_costs_itself_and_a_derivative_more(tmp_path):
    study = Study(PLAN, tmp_path)
    study.plan["cost"] = {"warm_up": 1, "steps": 2}
    held = Examples(torch.rand(192, 1, 28, 28), torch.arange(192) % 10)
    chosen = [m for m in methods.METHODS if m.name in ("Plain", "InputGradient", "SpectralTarget")]
    gradient, plain = costs.rows(study, held, chosen)  # a target is no classifier's step
    assert (gradient["method"], plain["method"]) == ("InputGradient", "Plain")
    assert plain["peak_bytes"] == pytest.approx(plain["plain_peak_bytes"], rel=0.01)
    assert gradient["peak_bytes"] > 1.5 * plain["peak_bytes"]
    assert all(row["low"] <= row["relative"] <= row["high"] for row in (gradient, plain))


def test_every_method_was_measured_as_its_page_calls_it():
    steps = curvlab.results("steps").set_index("call")
    wanted = [m.call for m in methods.METHODS if methods.trains_classifiers(m)]
    assert sorted(steps.index) == sorted(wanted)
    assert steps.relative.between(0.5, 100).all()
    assert steps.loc["Plain()"].relative == pytest.approx(1, abs=0.1)
    assert (steps.peak_bytes > 0).all()


def test_a_method_without_a_measurement_is_named():
    unknown = methods.METHODS[0]._replace(call="InputGradient(norm='l1')")
    with pytest.raises(ValueError, match=r"requires the cost of InputGradient\(norm='l1'\): run"):
        methods.seconds(unknown)
