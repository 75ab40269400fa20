"""The study's tables: tidy CSV, one row a measurement, made from finished jobs and nothing else."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING

import numpy as np

from curvlab import zoo
from curvlab.files import write_atomic
from curvlab.measures import LEVELS, Row, paired_interval, unpacked
from curvlab.results import available, results
from curvlab.study import KINDS, MEASURES, Job, restore, trained, zoo_name

if TYPE_CHECKING:
    from curvlab.study import Study

SEEDED = ("train", *MEASURES)
ORIGIN = ("commit", "torch", "curvlab", "python", "machine")
CLAIM_SEEDS = (1, 2, 3)


def write_tables(study: "Study", stage: str) -> None:
    """All tables from all finished jobs, the record that a later session resumes from, and the
    zoo. Raises where a job of `stage` is missing."""
    restore(study)
    missing = [job for job in study.jobs(stage) if job.kind != "tables"
               and not study.path(job).exists()]
    if missing:
        raise FileNotFoundError(
            f"requires every job of stage {stage}. Found {len(missing)} missing, first "
            f"{missing[0]}."
        )
    jobs = finished(study)
    compared, spent = comparisons(jobs), costs(jobs)
    tables = {
        "accuracy": accuracy(jobs),
        "curvature": measured(jobs, "evaluate", "curvature"),
        "distance": distances(jobs),
        "masking": measured(jobs, "masking", "masking"),
        "certified": measured(jobs, "certify", "certified"),
        "sweep": sweeps(study, jobs),
        "training": training(jobs),
        "cost": spent,
        "comparisons": compared,
        "claims": claims(study, compared, spent),
        "stages": stages(study, jobs),
    }
    for name, rows in tables.items():
        write_table(study, name, rows)
    record = "".join(json.dumps(jobs[job]) + "\n" for job in sorted(jobs))
    write_atomic(study.results / "records.jsonl", record.encode())
    for job in sorted(jobs):
        if job.kind == "evaluate" and job.number == "1":
            store(study, job, jobs)


def finished(study: "Study") -> dict[Job, Row]:
    """Every finished job below the runs folder, whatever its stage."""
    found = {}
    for kind in KINDS[:-1]:
        for path in (study.runs / kind).rglob("*.json"):
            content = json.loads(path.read_text(encoding="utf-8"))
            found[Job.parse(content["job"])] = content
    return found


def where(job: Job, value: float) -> Row:
    name, network, activation = job.cell.split("/")
    row: Row = {"data": name, "network": network, "activation": activation,
                "method": job.method, "value_varied": value}
    return row | ({"seed": int(job.number)} if job.kind in SEEDED else {})


def origin(found: Row) -> Row:
    return {key: found[key] for key in ORIGIN}


def evaluated(jobs: dict[Job, Row], *kinds: str) -> Iterable[tuple[Job, Row, float]]:
    for job in sorted(jobs):
        if job.kind in kinds:
            made = jobs[Job("train", job.cell, job.method, job.number)]
            yield job, jobs[job], made["value"]


def accuracy(jobs: dict[Job, Row]) -> list[Row]:
    return [
        where(job, value) | row | origin(found)
        for job, found, value in evaluated(jobs, "evaluate", "whole", "autoattack")
        for row in found["accuracy"]
    ]


def measured(jobs: dict[Job, Row], kind: str, part: str) -> list[Row]:
    return [
        where(job, value) | row | origin(found)
        for job, found, value in evaluated(jobs, kind) for row in found[part]
    ]


def distances(jobs: dict[Job, Row]) -> list[Row]:
    """Medians and percentiles over all images, the misclassified ones at distance 0 included."""
    return [
        where(job, value) | {
            "norm": norm, "statistic": statistic, "images": len(found_at),
            "value": float(np.quantile(found_at, level)),
        } | origin(found)
        for job, found, value in evaluated(jobs, "distance")
        for norm, found_at in found["distances"].items() for statistic, level in LEVELS.items()
    ]


def sweeps(study: "Study", jobs: dict[Job, Row]) -> list[Row]:
    rows = []
    for job in sorted(jobs, key=lambda job: (job.cell, job.method, jobs[job].get("value", 0))):
        if job.kind == "sweep":
            found = jobs[job]
            choice = jobs.get(Job("select", job.cell, job.method))
            rows.append(where(job, found["value"]) | {
                "clean": found["clean"],
                **{f"robust_{norm}": value for norm, value in found["robust"].items()},
                "selected": bool(choice and choice["value"] == found["value"]),
                "within_margin": bool(choice and found["clean"] >= choice["floor"]),
            } | origin(found))
    return rows


def training(jobs: dict[Job, Row]) -> list[Row]:
    rows = []
    for job in sorted(jobs):
        if job.kind == "train":
            found = jobs[job]
            rows.append(where(job, found["value"]) | {
                "penalty": found["penalty"], "strength": found["strength"],
                "epochs": found["epochs"], "images": found["images"], "steps": found["steps"],
                "seconds": found["train_seconds"], "final_loss": (found["loss"] or [""])[-1],
                "final_penalty": (found["penalty_mean"] or [""])[-1],
            } | origin(found))
    return rows


def costs(jobs: dict[Job, Row]) -> list[Row]:
    columns = ("batch_size", "steps", "seconds", "plain_seconds", "relative", "low", "high",
               "peak_bytes", "plain_peak_bytes")
    return [
        where(job, jobs[job]["value"]) | {key: jobs[job][key] for key in columns}
        | origin(jobs[job])
        for job in sorted(jobs) if job.kind == "cost"
    ]


def stages(study: "Study", jobs: dict[Job, Row]) -> list[Row]:
    """What of each stage is done: tables claim no more than this."""
    rows = []
    for stage in study.plan["stages"]:
        wanted = [job for job in study.jobs(stage) if job.kind != "tables"]
        done = [job for job in wanted if job in jobs]
        last = jobs[done[-1]] if done else dict.fromkeys(ORIGIN, "")
        rows.append({"stage": stage, "jobs": len(wanted), "done": len(done),
                     "complete": len(done) == len(wanted)} | origin(last))
    return rows


def comparisons(jobs: dict[Job, Row]) -> list[Row]:
    """Differences in accuracy of one network's methods at one seed, and of a method's activations,
    paired over test images: the same resampled images for both (percentile bootstrap, 95 %)."""
    groups: dict[tuple[str, str, str], list[Job]] = {}
    for job, _, _ in evaluated(jobs, "evaluate", "whole", "autoattack"):
        groups.setdefault((job.cell.rpartition("/")[0], job.number, job.kind), []).append(job)
    rows = []
    for (network, seed, _), members in sorted(groups.items()):
        data, _, network = network.partition("/")
        for attack in jobs[members[0]]["outcomes"]:
            held = {}
            for job in members:
                images = jobs[job]["accuracy"][-1]["images"]  # the clean row alone has all
                digits = jobs[job]["outcomes"][attack]
                activation = job.cell.rpartition("/")[2]
                held[activation, job.method] = unpacked(digits, images).astype(np.float64)
            count = len(next(iter(held.values())))
            for first, second in combinations(sorted(held), 2):
                if first[0] != second[0] and first[1] != second[1]:
                    continue
                difference = held[first] - held[second]
                low, high = paired_interval(difference)
                rows.append({
                    "data": data, "network": network, "activation": first[0], "seed": int(seed),
                    "outcome": attack, "method": first[1], "against": second[1],
                    "against_activation": second[0], "images": count,
                    "difference": round(float(difference.mean()), 6),
                    "low": round(low, 6), "high": round(high, 6),
                } | origin(jobs[members[0]]))
    return rows


def claims(study: "Study", compared: list[Row], spent: list[Row]) -> list[Row]:
    """Each claim of the plan with its verdict: reproduced where every comparison favors it with an
    interval above zero, refuted where every one goes against it, mixed where all are there and
    neither holds, open where one is missing. A claim of being `not_worse` than the best rival is
    refuted where one interval against that rival lies below zero, and stands otherwise. A claim
    compares accuracies under AutoAttack (cell, rival, norm, seed; a method is its own rival with
    the other activation), or by its `measure` what a step costs, or what an
    experiment of its own found."""
    intervals, difference = {}, {}
    for row in compared:
        for sign, whose in ((1, ""), (-1, "against_")):
            cell = "/".join((row["data"], row["network"], row[f"{whose}activation"]))
            pair = (row["method"], row["against"])[::sign]
            key = (cell, row["seed"], row["outcome"], *pair)
            intervals[key] = (row["low"], row["high"]) if sign == 1 else (-row["high"], -row["low"])
            difference[key] = sign * row["difference"]
    for mine, other in permutations(spent, 2):
        cell, elsewhere = (
            "/".join((row["data"], row["network"], row["activation"])) for row in (mine, other)
        )
        if cell == elsewhere:
            saved = (other["low"] - mine["high"], other["high"] - mine["low"])
            intervals[(cell, 0, "cost", mine["method"], other["method"])] = saved
    for measure, experiment in EXPERIMENTS.items():
        for number, interval in enumerate(experiment()):
            intervals[("", number, measure, "", "")] = interval
    rows = []
    for entry in study.plan["claims"]:
        wanted = list(comparisons_of(study, entry))
        found = [intervals[key] for key in wanted if key in intervals]
        favorable = sum(low > 0 for low, _ in found)
        against = sum(high < 0 for _, high in found)
        complete = bool(wanted) and len(found) == len(wanted)
        verdict = "open"
        if complete and entry.get("not_worse"):
            falling = sorted(wanted, key=lambda key: -difference[key])
            against_best = {key[:3]: intervals[key] for key in falling}  # the last one stays
            beaten = any(high < 0 for _, high in against_best.values())
            verdict = "refuted" if beaten else "stands"
        elif complete:
            verdict = {favorable: "reproduced", against: "refuted"}.get(len(wanted), "mixed")
        missing = f"{len(wanted) - len(found)} of {len(wanted)} comparisons are missing"
        rows.append({
            "claim": entry["claim"], "source": entry["source"], "comparisons": len(wanted),
            "done": len(found), "favorable": favorable, "unfavorable": against,
            "verdict": verdict,
            "reason": "" if complete else entry.get("reason", missing),
        })
    return rows


def comparisons_of(study: "Study", entry: Row) -> Iterator[tuple[str, int, str, str, str]]:
    """The comparisons that a claim of the plan stands on: cell, seed, outcome, method, rival."""
    if "comparisons" in entry:
        for number in range(entry["comparisons"]):
            yield "", number, entry["measure"], "", ""
    for cell, rival in product(entry.get("cells", ()), entry.get("against", ())):
        if entry.get("measure") == "cost":
            yield cell, 0, "cost", entry["method"], rival
            continue
        for norm, epsilon in study.plan["data"][cell.split("/")[0]]["headline"].items():
            for seed in entry.get("seeds", CLAIM_SEEDS):
                outcome = f"autoattack/{norm}/{epsilon:g}"
                yield cell, seed, outcome, entry["method"], rival


def gaps() -> list[tuple[float, float]]:
    """By how much the robust loss grows more than the regularized risk from training to test
    images, on each penalized network of `experiments/generalization.py`: 95 % intervals."""
    if "generalization" not in available():
        return []
    table = results("generalization")
    table = table[(table.method == "jacobian-frobenius") & (table.quantity == "excess")]
    keys = ["training_images", "value_varied", "seed"]
    apart = table.pivot(index=keys, columns="split", values="value")
    error = 1.96 * table[table.split == "test"].set_index(keys).standard_error
    middle = apart["test"] - apart["train"]
    return list(zip((middle - error).tolist(), (middle + error).tolist(), strict=True))


def norms() -> list[tuple[float, float]]:
    """The share of images on which Lanczos is nearer than each rival of `experiments/norms.py`,
    less one half: 95 % intervals."""
    if "norms" not in available():
        return []
    table = results("norms")
    rivals = table[~table.estimator.str.startswith("Lanczos")]
    return list(zip((rivals.low - 0.5).tolist(), (rivals.high - 0.5).tolist(), strict=True))


def identities() -> list[tuple[float, float]]:
    """The share of test images on which penalized and twin network of
    `experiments/identities.py` agree, less one half, with rectifiers: 95 % intervals."""
    if "identities" not in available():
        return []
    rectified = results("identities").query("activation == 'relu'")
    return list(zip((rectified.low - 0.5).tolist(), (rectified.high - 0.5).tolist(), strict=True))


def bounds() -> list[tuple[float, float]]:
    """How much more than 20 points certified accuracy rises, and how much less than 2 points clean
    accuracy falls, with the small penalty of `experiments/curvature_bound.py`: 95 % intervals."""
    if "curvature-bound" not in available():
        return []
    small = results("curvature-bound").query("value_varied == 0.001")
    rise = small[["certified_low", "certified_high"]] - 0.2
    fall = small[["clean_low", "clean_high"]] + 0.02
    return list(map(tuple, [*rise.to_numpy().tolist(), *fall.to_numpy().tolist()]))


def gains() -> list[tuple[float, float]]:
    """By how much SCORPIO's gradients beat those of each other penalty in each measure of
    `experiments/features.py`: 95 % intervals."""
    if "features" not in available():
        return []
    rivals = results("features").query("method not in ('plain', 'scorpio')")
    return list(zip(rivals.low.tolist(), rivals.high.tolist(), strict=True))


def structures() -> list[tuple[float, float]]:
    """How far below a tenth the Jacobian's distance from its structure is, and how much error is
    saved, with the structure's target in `experiments/structures.py`: 95 % intervals."""
    if "structures" not in available():
        return []
    chosen = results("structures").query("selected and target == structure")
    near = zip(0.1 - chosen.distance_high, 0.1 - chosen.distance_low, strict=True)
    saved = zip(chosen.saved_low, chosen.saved_high, strict=True)
    return [*near, *saved]


EXPERIMENTS = {
    "gap": gaps, "norms": norms, "identities": identities, "bound": bounds, "gain": gains,
    "structure": structures,
}


def store(study: "Study", job: Job, jobs: dict[Job, Row]) -> None:
    """The first seed's network joins the zoo; which seed is fixed before anything is known."""
    made, found = jobs[Job("train", job.cell, job.method, job.number)], jobs[job]
    _, network, activation = job.cell.split("/")
    entry = study.plan["networks"][network]
    robust = {f"{row['norm']} {row['epsilon']:g}": row["value"]
              for row in found["accuracy"] if row["attack"] == "pgd"}
    kept = ("penalty", "strength", "seed", "epochs", "images", "steps", *ORIGIN)
    zoo.save(
        zoo_name(job), trained(study, job), network=entry["network"],
        arguments={**entry["arguments"], **study.plan["activations"][activation]},
        made={key: made[key] for key in kept} | {
            "data": job.cell.split("/")[0], "activation": activation, "method": job.method,
            "clean_accuracy": found["accuracy"][0]["value"], "robust_accuracy": robust,
        },
        folder=study.zoo,
    )


def write_table(study: "Study", name: str, rows: list[Row]) -> None:
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(study.results / f"{name}.csv", text.getvalue().encode())
