"""The study's engine on real code paths: finished jobs are believed and never redone, half-written
ones never are, and the rules of the protocol are what the code does. About 40 seconds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

import curvlab
from curvlab import measures, tables, zoo
from curvlab import study as engine
from curvlab.attacks import autoattack, pgd
from curvlab.study import Job, Study

HERE = Path(__file__).resolve().parent.parent / "experiments"
CELL = "digits/cnn/softplus"


def quick(runs: Path) -> Study:
    return Study(HERE / "quick.yaml", runs)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished quick study."""
    study = quick(tmp_path_factory.mktemp("quick"))
    engine.run_stage(study, "quick", 1)
    return study


@pytest.fixture
def copy(done, tmp_path):
    shutil.copytree(done.runs, tmp_path / "runs")
    return quick(tmp_path / "runs")


def test_a_method_may_have_fewer_images_and_its_trials_have_as_many_as_all(tmp_path):
    study = quick(tmp_path)
    study.plan["methods"]["plain"]["images"] = 128
    jobs = [Job.parse(f"{kind}:{CELL}/plain{number}")
            for kind, number in (("sweep", "/0"), ("select", ""), ("train", "/1"))]
    for job in jobs:
        engine.run(study, job)
    tried, _, made = (study.found(job) for job in jobs)
    assert (made["images"], made["steps"]) == (128, 2 * 10)
    assert tried["steps"] == 5 * -(-400 // 64)
    assert [engine.price(study, job) for job in jobs] == [400 * 5, 1, 128 * 10]


def times(study: Study):
    return {path: path.stat().st_mtime_ns for kind in engine.KINDS[:-1]
            for path in (study.runs / kind).rglob("*") if path.is_file()}


def test_a_stage_leaves_complete_tables_and_networks(done):
    read = {path.stem: pandas.read_csv(path) for path in done.results.glob("*.csv")}
    assert set(read) == {
        "accuracy", "curvature", "distance", "masking", "certified", "sweep", "training", "cost",
        "comparisons", "claims", "stages",
    }
    assert len(read["accuracy"]) == 3 * (1 + 4) + 2
    assert len(read["curvature"]) == 3 * 5 * 2
    assert len(read["sweep"]) == 1 + 2 + 1
    assert len(read["comparisons"]) == 3 * (1 + 4)
    assert read["sweep"].selected.sum() == 3
    assert read["stages"].complete.all()
    assert read["distance"].value.between(0, 8).all()
    assert read["masking"].gap.between(-1, 1).all()
    assert read["certified"].value.between(0, 1).all()
    assert read["cost"].relative.between(0.1, 100).all()
    memory = read["cost"].set_index("method").eval("peak_bytes / plain_peak_bytes")
    assert memory["plain"] == pytest.approx(1, abs=0.01)
    assert 1.2 < memory["input-gradient"] < 4
    for name, table in read.items():
        # A verdict is no measurement: it follows from the rows of `comparisons`.
        assert name == "claims" or {"commit", "machine", "torch"} <= set(table.columns)
        assert not table.duplicated().any()
    methods = ("input-gradient", "pgd", "plain")
    assert zoo.names(done.zoo) == [f"digits/softplus/{method}" for method in methods]
    assert not list(done.runs.rglob("*.checkpoint"))


def test_the_zoo_s_accuracy_is_that_of_the_stored_weights(done):
    name = "digits/softplus/input-gradient"
    x, y = engine.data.load("digits", "test")
    model = zoo.load(name, folder=done.zoo)
    accuracy = float((model(x).argmax(1) == y).double().mean())
    assert zoo.card(name, folder=done.zoo)["clean_accuracy"] == pytest.approx(accuracy)
    assert accuracy > 0.5


def test_nothing_finished_is_redone(copy, capsys):
    before = times(copy)
    engine.run_stage(copy, "quick", 1)
    assert times(copy) == before
    assert "20 of 21 jobs were done" in capsys.readouterr().out


def test_a_lost_job_alone_is_redone_and_comes_out_the_same(copy):
    job = Job("train", CELL, "pgd", "1")
    first, weights = copy.found(job), copy.path(job, ".safetensors").read_bytes()
    shutil.rmtree(copy.results)
    copy.path(job).unlink()
    copy.path(job, ".safetensors").unlink()
    before = times(copy)
    engine.run_stage(copy, "quick", 1)
    after = times(copy)
    assert {path for path in after if after[path] != before.get(path)} == {
        copy.path(job), copy.path(job, ".safetensors")
    }
    assert copy.found(job)["loss"] == first["loss"]
    assert copy.path(job, ".safetensors").read_bytes() == weights


def test_a_lost_runs_folder_is_restored_from_the_record(done, tmp_path):
    study = quick(tmp_path / "runs")
    shutil.copytree(done.results, study.results)
    shutil.copytree(done.zoo, study.zoo)
    before = {path.name: path.read_bytes() for path in study.results.iterdir()}
    engine.run_stage(study, "quick", 1)
    assert {path.name: path.read_bytes() for path in study.results.iterdir()} == before
    assert not list(study.runs.rglob("*.checkpoint"))


def test_lost_weights_are_trained_again_to_the_same(copy):
    job = Job("train", CELL, "plain", "1")
    weights = copy.path(job, ".safetensors")
    content = weights.read_bytes()
    weights.unlink()
    engine.trained(copy, Job("evaluate", CELL, "plain", "1"))
    assert weights.read_bytes() == content


def test_other_settings_are_not_believed(copy):
    copy.plan["train"]["learning_rate"] = 0.02
    with pytest.raises(ValueError, match="made under other settings"):
        engine.run(copy, Job("train", CELL, "plain", "1"))
    del copy.plan["train"]["learning_rate"]


def test_tables_want_every_job_of_their_stage(copy):
    copy.path(Job("evaluate", CELL, "pgd", "1")).unlink()
    (copy.results / "records.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="1 missing, first evaluate:digits/cnn"):
        tables.write_tables(copy, "quick")


def test_a_job_that_needs_another_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"requires sweep:.* to be done first"):
        engine.run(quick(tmp_path), Job("select", CELL, "plain"))


COMMAND = [sys.executable, "-m", "curvlab.study", "--study", str(HERE / "quick.yaml")]


def test_killed_in_the_middle_it_goes_on_to_the_same_tables(done, tmp_path):
    runs = tmp_path / "runs"
    command = [*COMMAND, "--runs", str(runs), "stage:quick"]
    for moment in (4, 9):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
            for line in victim.stdout:
                if f"{moment} of 21" in line:
                    time.sleep(0.1)
                    victim.send_signal(signal.SIGKILL)
        assert victim.returncode == -signal.SIGKILL
        assert not (runs / "results_files").exists()
        for path in runs.rglob("*.json"):
            json.loads(path.read_text())
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name in ("accuracy", "curvature", "sweep", "comparisons"):
        same, first = (
            pandas.read_csv(folder / f"{name}.csv").drop(columns=list(tables.ORIGIN))
            for folder in (runs / "results_files", done.results)
        )
        pandas.testing.assert_frame_equal(same, first, check_exact=True)


def test_snakemake_finds_nothing_to_do_after_the_plain_command_and_redoes_what_is_lost(copy):
    """The hand-over: the same files, so either may go on where the other was stopped."""
    runs = copy.runs.parent / "given"
    runs.mkdir()
    copy.runs.rename(runs / "quick")
    study = quick(runs / "quick")
    (study.results / "records.jsonl").unlink()
    lost = [Job("evaluate", CELL, "pgd", "1"), Job("sweep", CELL, "pgd", "0.25")]
    for job in lost[:1]:
        study.path(job).unlink()
    before = times(study)
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "Snakefile"), "--cores", "2",
        "--config", "quick=1", "--directory", str(runs), "--quiet", "progress",
    ]
    environment = {**os.environ, "CURVLAB_RUNS": str(runs)}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    after = times(study)
    assert {path for path in after if after[path] != before.get(path)} == {study.path(lost[0])}
    assert (study.results / "records.jsonl").exists()


def record(study, kind, method, number="", **content):
    job = Job(kind, CELL, method, number)
    path = study.path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"settings": study.settings(job), **content}))


@pytest.mark.parametrize(
    ("trials", "chosen", "within"),
    [
        # (clean, l2, linf) at 0.1 and at 1, against a plain clean accuracy of 0.90 and 5 points.
        ([(0.88, 0.5, 0.4), (0.86, 0.6, 0.5)], 1.0, True),
        ([(0.88, 0.5, 0.4), (0.84, 0.9, 0.9)], 0.1, True),
        ([(0.88, 0.5, 0.5), (0.88, 0.6, 0.4)], 0.1, True),
        ([(0.80, 0.5, 0.4), (0.70, 0.9, 0.9)], 0.1, False),
        ([(0.70, 0.5, 0.4), (0.80, 0.1, 0.1)], 1.0, False),
    ],
)
def test_the_rule_of_selection(tmp_path, trials, chosen, within):
    study = quick(tmp_path)
    record(study, "sweep", "plain", "0", value=0.0, clean=0.9, robust={"l2": 0, "linf": 0})
    for value, (clean, l2, linf) in zip(("0.1", "1"), trials, strict=True):
        record(study, "sweep", "input-gradient", value, value=float(value), clean=clean,
               robust={"l2": l2, "linf": linf})
    found = engine.select(study, Job("select", CELL, "input-gradient"))
    assert found["value"] == chosen
    assert found["within_margin"] == within
    assert found["at_edge"]


def test_an_image_that_fell_stays_fallen(done):
    x, y = engine.data.load("digits", "test")
    model = zoo.load("digits/softplus/plain", folder=done.zoo)
    draw = torch.Generator().manual_seed(0)
    held = measures.survivors(model, x, y, [0.5, 0.1, 0.25], "l2", 5, 1, draw)
    assert list(held) == [0.1, 0.25, 0.5]
    assert bool((held[0.1] | ~held[0.25]).all())
    assert bool((held[0.25] | ~held[0.5]).all())
    alone = ~pgd(model, x, y, 0.1, "l2", steps=5, generator=torch.Generator().manual_seed(0)).fooled
    assert abs(float(held[0.1].double().mean() - alone.double().mean())) < 0.02
    nothing = measures.survivors(model, x, (y + 1) % 10, [0.1], "l2", 5, 1, draw)
    assert float(nothing[0.1].double().mean()) < 0.1


def test_derivative_norms_agree_with_explicit_matrices(done):
    x, y = engine.data.load("digits", "test")
    x, y = x[:6], y[:6]
    model = zoo.load("digits/softplus/plain", folder=done.zoo)
    rows = measures.derivative_norms(model, x, y, 30, 1)
    found = {(row["quantity"], row["statistic"]): row["value"] for row in rows}
    double = zoo.load("digits/softplus/plain", folder=done.zoo).double()

    def loss(z, label):
        return torch.nn.functional.cross_entropy(double(z.view(1, 1, 8, 8)), label.view(1))

    def logits(z):
        return double(z.view(1, 1, 8, 8)).squeeze(0)

    flat = x.double().flatten(1)
    gradients = torch.stack([torch.func.grad(loss)(z, t) for z, t in zip(flat, y, strict=True)])
    twice = torch.func.jacrev(torch.func.grad(loss))
    hessians = torch.stack([twice(z, t) for z, t in zip(flat, y, strict=True)])
    jacobians = torch.stack([torch.func.jacrev(logits)(z) for z in flat])
    truth = {
        "gradient l2": gradients.norm(dim=1),
        "gradient l1": gradients.abs().sum(1),
        "Jacobian Frobenius": jacobians.flatten(1).norm(dim=1),
        "Jacobian spectral": torch.linalg.matrix_norm(jacobians, 2),
        "Hessian spectral": torch.linalg.matrix_norm(hessians, 2),
    }
    for quantity, values in truth.items():
        expected = float(values.detach().quantile(0.5))
        assert found[quantity, "median"] == pytest.approx(expected, rel=1e-6), quantity
    assert next(model.parameters()).dtype == torch.float32


def test_no_attack_beats_a_certificate(done):
    """On the same images: certified at a radius is at most unfooled at it, under every attack."""
    x, y = engine.data.load("digits", "test")
    model = zoo.load("digits/softplus/input-gradient", folder=done.zoo)
    nearest = torch.tensor(measures.distances(model, x[:50], y[:50], "l2", 20, 1))
    rows = measures.certified(model, x[:50], y[:50], [0.02, 0.1])
    for row in rows:
        assert row["value"] <= measures.share(nearest >= row["epsilon"] - 1e-5)
    found = {(row["certificate"], row["epsilon"]): row["value"] for row in rows}
    assert found["combined", 0.02] >= max(found["lipschitz", 0.02], found["curvature", 0.02]) > 0


def test_distances_and_accuracies_agree(done):
    x, y = engine.data.load("digits", "test")
    model = zoo.load("digits/softplus/plain", folder=done.zoo)
    nearest = torch.tensor(measures.distances(model, x[:40], y[:40], "l2", 20, 1))
    right = measures.correct(model, x[:40], y[:40])
    assert torch.equal(nearest > 0, right)
    beyond = 1.2 * float(nearest.max())
    draw = torch.Generator().manual_seed(0)
    held = measures.survivors(model, x[:40], y[:40], [beyond], "l2", 20, 1, draw)[beyond]
    assert not bool(held.any())


def test_autoattack_s_outcomes_become_rows(copy, monkeypatch):
    """The whole job, with one of the four attacks and few steps: all four take minutes."""
    copy.plan["autoattack"] = {"images": 6}
    monkeypatch.setattr(engine, "autoattack", partial(autoattack, attacks=("apgd-ce",)))
    job = Job("autoattack", CELL, "pgd", "1")
    engine.run(copy, job)
    found = copy.found(job)
    assert [(row["norm"], row["epsilon"]) for row in found["accuracy"]] == [
        ("l2", 0.5), ("linf", 0.1)
    ]
    for row, digits in zip(found["accuracy"], found["outcomes"].values(), strict=True):
        assert row["value"] == measures.unpacked(digits, 6).mean()
        assert row["images"] == 6


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU hands memory out in larger blocks")
@pytest.mark.parametrize(("kept", "megabytes"), [(False, 4), (True, 8)])
def test_peak_memory_counts_what_is_there_at_once(kept, megabytes):
    before = torch.ones(1000, 1000)

    def step():
        first = 2 * before
        if not kept:
            del first
        second = before + 1
        del second

    assert engine.peak_bytes(step) == pytest.approx(megabytes * 1_000_000, abs=64)
    assert engine.peak_bytes(lambda: None) == 0


def test_outcomes_survive_packing():
    outcomes = torch.rand(13, generator=torch.Generator().manual_seed(0)) < 0.5
    assert measures.unpacked(measures.packed(outcomes), 13).tolist() == outcomes.tolist()


def test_comparisons_are_paired_over_images():
    """Two methods that are right on the same images differ by nothing, with no spread; two that are
    right half of the time on opposite images have the spread of independent coins."""
    held = np.arange(400) % 2 == 0
    cell = Job("evaluate", CELL, "a", "1")
    jobs = {}
    for method, outcome in (("a", held), ("b", held), ("c", ~held)):
        job = cell._replace(method=method)
        made = dict.fromkeys(tables.ORIGIN, "x")
        jobs[job] = {**made, "accuracy": [{"images": 10_000}, {"images": 400}],
                     "outcomes": {"pgd/l2/1": measures.packed(torch.tensor(outcome))}}
        jobs[job._replace(kind="train")] = {**made, "value": 0.0}
    rows = {(row["method"], row["against"]): row for row in tables.comparisons(jobs)}
    same, opposite = rows["a", "b"], rows["a", "c"]
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert opposite["difference"] == 0
    # The difference is +1 or -1 with equal chance: its mean over 400 has a deviation of 1/20.
    assert opposite["high"] - opposite["low"] == pytest.approx(4 * 0.98 / 20, rel=0.1)


def test_a_method_is_compared_with_itself_across_activations():
    held = {"softplus/a": 300, "softplus/b": 200, "relu/a": 100, "relu/b": 50}
    jobs, made = {}, dict.fromkeys(tables.ORIGIN, "x")
    for name, count in held.items():
        activation, method = name.split("/")
        job = Job("evaluate", f"digits/cnn/{activation}", method, "1")
        outcomes = {"pgd/l2/1": measures.packed(torch.arange(400) < count)}
        jobs[job] = {**made, "accuracy": [{"images": 400}], "outcomes": outcomes}
        jobs[job._replace(kind="train")] = {**made, "value": 0.0}
    found = {
        (f"{row['activation']}/{row['method']}", f"{row['against_activation']}/{row['against']}"):
        row["difference"] for row in tables.comparisons(jobs)
    }
    assert found == {
        (first, second): (held[first] - held[second]) / 400
        for first, second in [
            ("relu/a", "relu/b"), ("relu/a", "softplus/a"), ("relu/b", "softplus/b"),
            ("softplus/a", "softplus/b"),
        ]
    }  # fmt: skip


@pytest.mark.parametrize(("first", "verdict"), [("softplus", "reproduced"), ("relu", "refuted")])
def test_a_claim_on_activations_compares_a_method_with_itself(tmp_path, first, verdict):
    study = quick(tmp_path)
    study.plan["claims"] = [{
        "claim": "smooth is better", "source": "here", "method": "plain", "against": ["plain"],
        "cells": [CELL], "seeds": [1],
    }]  # fmt: skip
    second = {"softplus": "relu", "relu": "softplus"}[first]
    rows = [
        {"data": "digits", "network": "cnn", "activation": first, "against_activation": second,
         "method": "plain", "against": "plain", "seed": 1, "outcome": f"autoattack/{norm}",
         "low": 0.1, "difference": 0.2, "high": 0.3}
        for norm in ("l2/0.5", "linf/0.1")
    ]  # fmt: skip
    (found,) = tables.claims(study, rows, [])
    assert (found["verdict"], found["comparisons"]) == (verdict, 2)


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(0.1, 0.2)] * 6, "reproduced"),
        ([(-0.2, -0.1)] * 6, "refuted"),
        ([(0.1, 0.2)] * 5 + [(-0.1, 0.2)], "mixed"),
        ([(-0.1, 0.1)] * 6, "mixed"),
        ([(0.1, 0.2)] * 5, "open"),
        ([], "open"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_rule_of_verdicts(tmp_path, intervals, verdict, swapped):
    """Two norms and three seeds; a comparison stored the other way round counts the same."""
    keys = [(norm, seed) for norm in ("l2/0.5", "linf/0.1") for seed in (1, 2, 3)]
    rows = []
    for (norm, seed), (low, high) in zip(keys, intervals, strict=False):
        pair = {"method": "input-gradient", "against": "plain", "low": low, "high": high}
        if swapped:
            pair = {"method": "plain", "against": "input-gradient", "low": -high, "high": -low}
        rows.append({"data": "digits", "network": "cnn", "activation": "softplus", "seed": seed,
                     "against_activation": "softplus", "outcome": f"autoattack/{norm}",
                     "difference": pair["low"], **pair})
    tested, unplanned = tables.claims(quick(tmp_path), rows, [])
    assert tested["verdict"] == verdict
    assert tested["done"] == len(intervals)
    assert bool(tested["reason"]) == (verdict == "open")
    assert (unplanned["verdict"], unplanned["reason"]) == ("open", "nothing to run")


@pytest.mark.parametrize(
    ("best", "weaker", "verdict"),
    [
        ((-0.05, -0.01, 0.03), (0.1, 0.2, 0.3), "stands"),
        ((-0.05, -0.03, -0.01), (0.1, 0.2, 0.3), "refuted"),
        # Losing to a rival that is not the best one at this headline does not refute.
        ((-0.09, -0.04, 0.01), (-0.04, -0.03, -0.02), "stands"),
        ((0.1, 0.2, 0.3), None, "open"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_claim_of_not_being_worse_is_judged_against_the_best_rival(
    tmp_path, best, weaker, verdict, swapped
):
    study = quick(tmp_path)
    study.plan["claims"] = [{
        "claim": "not worse", "source": "here", "method": "plain", "cells": [CELL], "seeds": [1],
        "against": ["input-gradient", "pgd"], "not_worse": True,
    }]  # fmt: skip
    cell = dict(zip(("data", "network", "activation"), CELL.split("/"), strict=True))
    rows = []
    for norm in ("l2/0.5", "linf/0.1"):
        # The rivals change places from one norm to the other.
        rivals = ("input-gradient", "pgd") if norm == "l2/0.5" else ("pgd", "input-gradient")
        for rival, interval in zip(rivals, (best, weaker), strict=True):
            if interval is None:
                continue
            # One headline lost is enough: at the other every rival is far behind.
            low, middle, high = (end + (0.5 if norm == "linf/0.1" else 0.0) for end in interval)
            row = {**cell, "against_activation": "softplus", "seed": 1,
                   "outcome": f"autoattack/{norm}", "method": "plain", "against": rival,
                   "low": low, "difference": middle, "high": high}
            if swapped:
                row |= {"method": rival, "against": "plain", "low": -high,
                        "difference": -middle, "high": -low}
            rows.append(row)
    (found,) = tables.claims(study, rows, [])
    assert (found["verdict"], found["comparisons"]) == (verdict, 4)


@pytest.mark.parametrize(
    ("low", "verdict"), [(5.0, "reproduced"), (3.9, "mixed"), (0.5, "refuted")]
)
def test_a_claim_on_cost_compares_quartiles(tmp_path, low, verdict):
    study = quick(tmp_path)
    study.plan["claims"] = [{
        "claim": "one is cheaper", "source": "here", "measure": "cost", "method": "input-gradient",
        "against": ["plain"], "cells": [CELL],
    }]  # fmt: skip
    cell = dict(zip(("data", "network", "activation"), CELL.split("/"), strict=True))
    spent = [
        {**cell, "method": "plain", "low": low, "high": low + 1},
        {**cell, "method": "input-gradient", "low": 2.0, "high": 4.0},
    ]
    (found,) = tables.claims(study, [], spent)
    assert (found["verdict"], found["comparisons"]) == (verdict, 1)
    (found,) = tables.claims(study, [], spent[:1])
    assert found["verdict"] == "open"


@pytest.mark.parametrize("measure", tables.EXPERIMENTS)
def test_a_claim_on_an_experiment_counts_what_it_found(tmp_path, measure):
    intervals = tables.EXPERIMENTS[measure]()
    count = len(intervals)
    assert count >= 12
    study = quick(tmp_path)
    entry = {"claim": "smaller", "source": "here", "measure": measure, "comparisons": count}
    study.plan["claims"] = [entry, {**entry, "comparisons": count + 1}]
    whole, short = tables.claims(study, [], [])
    assert whole["done"] == count
    assert whole["favorable"] == sum(low > 0 for low, _ in intervals)
    assert whole["unfavorable"] == sum(high < 0 for _, high in intervals)
    assert (whole["verdict"] == "reproduced") == (whole["favorable"] == count)
    assert (whole["verdict"] == "refuted") == (whole["unfavorable"] == count)
    assert short["verdict"] == "open"


def test_steeply_is_twenty_points_for_less_than_two(monkeypatch):
    row = {"certified_low": 0.19, "certified_high": 0.31, "clean_low": -0.03, "clean_high": 0.01}
    rows = pandas.DataFrame([{**row, "value_varied": 0.001}, {**row, "value_varied": 0.01}])
    monkeypatch.setattr(tables, "results", lambda name: rows)
    rise, fall = tables.bounds()
    assert rise == pytest.approx((-0.01, 0.11))
    assert fall == pytest.approx((-0.01, 0.03))


def test_a_structure_is_reached_below_a_tenth(monkeypatch):
    row = {"selected": True, "structure": "symmetry", "target": "symmetry", "distance_low": 0.08,
           "distance_high": 0.11, "saved_low": 2.0, "saved_high": 3.0}
    others = [{**row, "selected": False}, {**row, "target": "none"}, {**row, "target": "zero"}]
    rows = pandas.DataFrame([row, *others])
    monkeypatch.setattr(tables, "results", lambda name: rows)
    monkeypatch.setattr(tables, "available", lambda: ["structures"])
    near, saved = tables.structures()
    assert near == pytest.approx((-0.01, 0.02))
    assert saved == (2.0, 3.0)


def test_the_comparisons_of_the_experiments_are_those_planned():
    norms = curvlab.results("norms")
    rivals = norms[~norms.estimator.str.startswith("Lanczos")]
    assert len(rivals) == norms.method.groupby(norms.data).nunique().sum() * 2 * 3 * 2
    assert set(rivals.estimator) == {"power iteration", "Hutchinson"}
    gaps = curvlab.results("generalization").query("method == 'jacobian-frobenius'")
    assert len(tables.gaps()) == len(gaps.groupby(["training_images", "value_varied", "seed"]))
    twins = curvlab.results("identities")
    assert len(twins) == 2 * len(tables.identities()) == 2 * 5 * 3
    assert len(tables.bounds()) == 2 * 3 * 2
    assert len(tables.gains()) == 2 * 3 * 5 * 5
    assert len(tables.structures()) == 2 * 2 * 3 * 2


@pytest.mark.parametrize("text", ["", "train", "bake:a/b/c/d/1", "train:a/b/c/d", "select:a/b/c"])
def test_bad_jobs_are_refused(text):
    with pytest.raises(ValueError, match="requires KIND:DATA/NETWORK"):
        Job.parse(text)


def test_unknown_stages_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"requires a stage among quick\. Found 'slow'"):
        list(quick(tmp_path).jobs("slow"))


@pytest.mark.parametrize("file", ["study.yaml", "quick.yaml"])
def test_every_method_of_the_study_can_be_made(file, tmp_path):
    study = Study(HERE / file, tmp_path)
    for method in study.plan["methods"]:
        for value in study.values(method):
            _, strength = study.penalty(method, value)
            assert strength >= 0
    for stage in study.plan["stages"]:
        jobs = list(study.jobs(stage))
        assert len(jobs) == len(set(jobs))
        assert [Job.parse(str(job)) for job in jobs[:-1]] == jobs[:-1]
