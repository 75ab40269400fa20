"""The study's engine: `python -m curvlab.study JOB` does one job and leaves one whole file.

A job is `sweep:CELL/METHOD/VALUE` (train briefly, score on validation), `select:CELL/METHOD` (the
value), `cost:CELL/METHOD` (seconds a step), `train:CELL/METHOD/SEED`, one of `evaluate`,
`autoattack`, `distance`, `masking` and `certify` with `:CELL/METHOD/SEED` (on the test set), or
`tables:STAGE`; a CELL is DATA/NETWORK/ACTIVATION. `stage:STAGE` runs every job of a stage that is
not done yet, in this process or, with `--side-by-side N`, in N at once. What a job found is
`RUNS/KIND/CELL/METHOD/NUMBER.json`, written in one move, so a job is done or it is not.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, cached_property, partial
from importlib import import_module
from importlib.metadata import version
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from curvlab import data, zoo
from curvlab.attacks import Norm, autoattack
from curvlab.data import Examples
from curvlab.files import write_atomic
from curvlab.measures import (
    certified,
    correct,
    derivative_norms,
    distances,
    masking,
    packed,
    share,
    survivors,
)
from curvlab.training import fit, mixed

# of a trained network
MEASURES = ("evaluate", "whole", "autoattack", "distance", "masking", "certify")
KINDS = ("sweep", "select", "cost", "train", *MEASURES, "tables")
UNNUMBERED = ("select", "cost")
NORMS: tuple[Norm, Norm] = ("l2", "linf")


class Job(NamedTuple):
    """One job: `kind:data/network/activation/method/number`; `select` and `cost` have no number."""

    kind: str
    cell: str
    method: str
    number: str = ""

    @classmethod
    def parse(cls, text: str) -> "Job":
        kind, _, key = text.partition(":")
        parts = key.split("/")
        length = 4 if kind in UNNUMBERED else 5
        if kind not in KINDS or (kind != "tables" and len(parts) != length):
            raise ValueError(
                f"requires KIND:DATA/NETWORK/ACTIVATION/METHOD[/NUMBER] with a kind among "
                f"{', '.join(KINDS)}. Found {text!r}."
            )
        if kind == "tables":
            return cls(kind, key, "")
        return cls(kind, "/".join(parts[:3]), parts[3], "/".join(parts[4:]))

    @property
    def key(self) -> str:
        return "/".join(part for part in (self.cell, self.method, self.number) if part)

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


class Study:
    """A study file and the folder of its runs."""

    def __init__(self, file: Path, runs: Path) -> None:
        import yaml  # type: ignore[import-untyped]

        self.plan: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        self.runs = runs
        # A study that does not ship (a quick one) keeps its tables and networks beside its runs.
        package = Path(__file__).parent if self.plan["ships"] else runs
        self.results = package / "results_files"
        self.zoo = package / "zoo_files"

    def jobs(self, stage: str) -> Iterator[Job]:
        """The jobs of a stage, each after those that it needs."""
        if stage not in self.plan["stages"]:
            known = ", ".join(self.plan["stages"])
            raise ValueError(f"requires a stage among {known}. Found {stage!r}.")
        seen = set()
        for block in self.plan["stages"][stage]:
            for cell in block["cells"]:
                for method in block["methods"]:
                    wanted = [
                        *(Job("sweep", cell, "plain", value) for value in self.values("plain")),
                        *(Job("sweep", cell, method, value) for value in self.values(method)),
                        Job("select", cell, method),
                    ]
                    measures = block.get("measures", ["evaluate"])
                    if "cost" in measures:
                        wanted.append(Job("cost", cell, method))
                    for seed in block["seeds"]:
                        kinds = [kind for kind in MEASURES if kind in measures]
                        wanted += [Job(kind, cell, method, str(seed)) for kind in ("train", *kinds)]
                    for job in wanted:
                        if job not in seen:
                            seen.add(job)
                            yield job
        yield Job("tables", stage, "")

    def values(self, method: str) -> list[str]:
        return [f"{value:g}" for value in self.plan["methods"][method]["values"]]

    def images(self, method: str) -> int | None:
        """How many training images a method gets; None: all of them."""
        found: int | None = self.plan["methods"][method].get(
            "images", self.plan["train"].get("images")
        )
        return found

    def path(self, job: Job, suffix: str = ".json") -> Path:
        return self.runs / job.kind / f"{job.key}{suffix}"

    def found(self, job: Job) -> dict[str, Any]:
        """What a finished job found."""
        path = self.path(job)
        if not path.exists():
            raise FileNotFoundError(f"requires {job} to be done first. Found no {path}.")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.get("settings") != self.settings(job):
            raise ValueError(
                f"requires results of this study file. Found {path} made under other settings. "
                "Put the settings back, or delete it to do that job again."
            )
        return content

    def network(self, cell: str, seed: int) -> nn.Module:
        """A cell's untrained network."""
        _, network, activation = cell.split("/")
        entry = self.plan["networks"][network]
        arguments = {**entry["arguments"], **self.plan["activations"][activation]}
        with torch.random.fork_rng():
            torch.manual_seed(mixed(seed, 2))
            model = zoo.build(entry["network"], arguments)
        return model.to(device()).to(memory_format=torch.channels_last)

    def settings(self, job: Job) -> str:
        """A digest of all in the study file that bears on a job: what was found under other
        settings is not believed."""
        name, network, activation = job.cell.split("/")
        method = {k: v for k, v in self.plan["methods"][job.method].items() if k != "price"}
        if job.kind == "sweep":
            del method["values"]
        parts = ["train", "sweep"]
        parts += [part for part in (*MEASURES, "cost") if part == job.kind]
        bearing = [
            *(self.plan[part] for part in parts), self.plan["data"][name], method,
            self.plan["networks"][network], self.plan["activations"][activation],
        ]
        return hashlib.sha256(json.dumps(bearing, sort_keys=True).encode()).hexdigest()[:16]

    def penalty(self, method: str, value: str) -> tuple[Any, float]:
        """A method with one value of what it varies: its penalty, and the strength for `fit`."""
        entry = self.plan["methods"][method]
        module, name = entry["make"].split(".")
        make = getattr(import_module(f"curvlab.{module}"), name)
        arguments = dict(entry.get("arguments", {}))
        if entry["vary"] == "strength":
            return make(**arguments), float(value)
        return make(**arguments, **{entry["vary"]: float(value)}), float(entry["strength"])

    @cached_property
    def machine(self) -> dict[str, str]:
        """What a measurement owes its reader: commit, versions, machine."""
        commit = git("rev-parse", "--short=12", "HEAD")
        if git("status", "--porcelain", "--", "*.py"):
            commit += "-dirty"
        place = torch.cuda.get_device_name() if device() == "cuda" else processor()
        return {
            "commit": commit or "unknown",
            "torch": version("torch"),
            "curvlab": version("curvlab"),
            "python": platform.python_version(),
            "machine": f"{place}, {torch.get_num_threads()} thread(s)",
        }


def git(*arguments: str) -> str:
    """What git says of the package's folder; nothing where there is no checkout."""
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent
        ).stdout.strip()
    except FileNotFoundError:
        return ""


def device() -> str:
    return os.environ.get("CURVLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


@cache
def examples(name: str, split: str) -> Examples:
    x, y = data.load(name, split)
    return Examples(x.to(device()), y.to(device()))


def run(study: Study, job: Job) -> None:
    """Does a job and writes what it found, unless that is there already."""
    if job.kind == "tables":
        from curvlab.tables import write_tables

        write_tables(study, job.cell)
        return
    if study.path(job).exists():
        study.found(job)
        return
    started = time.perf_counter()
    work = {"sweep": sweep, "select": select, "cost": cost, "train": train,
            "evaluate": evaluate, "whole": by_pgd, "autoattack": by_autoattack,
            "distance": distance, "masking": signs_of_masking, "certify": certify}[job.kind]
    found = work(study, job)
    found = {
        "job": str(job), "settings": study.settings(job), **found, **study.machine,
        "wall_seconds": round(time.perf_counter() - started, 2),
    }
    write_atomic(study.path(job), (json.dumps(found, indent=1) + "\n").encode())
    study.path(job, ".checkpoint").unlink(missing_ok=True)


def sweep(study: Study, job: Job) -> dict[str, Any]:
    """Trains on few images and scores on the validation split."""
    plan, name = study.plan["sweep"], job.cell.split("/")[0]
    x, y = examples(name, "train")
    model = study.network(job.cell, plan["seed"])
    history = fitted(study, job, model, Examples(x[: plan["images"]], y[: plan["images"]]),
                     job.number, plan["epochs"], plan["seed"])
    x, y = examples(name, "validation")
    accuracy = share(correct(model, x, y))
    robust = {}
    x, y = x[: plan["attacked"]], y[: plan["attacked"]]
    for norm, epsilon in study.plan["data"][name]["headline"].items():
        draw = torch.Generator(x.device).manual_seed(mixed(plan["seed"], 3))
        held = survivors(model, x, y, [epsilon], norm, plan["steps"], 1, draw)[epsilon]
        robust[norm] = share(held)
    return {"value": float(job.number), "clean": accuracy, "robust": robust, **history}


def select(study: Study, job: Job) -> dict[str, Any]:
    """The value of best robust accuracy (mean over both norms) among those whose clean accuracy is
    within the margin of plain training's; where none is, the value of best clean accuracy. Ties go
    to the smaller value."""
    plain = [study.found(Job("sweep", job.cell, "plain", v)) for v in study.values("plain")]
    tried = [study.found(Job("sweep", job.cell, job.method, v)) for v in study.values(job.method)]
    margin = study.plan["data"][job.cell.split("/")[0]]["margin"]
    floor = max(found["clean"] for found in plain) - margin
    allowed = [found for found in tried if found["clean"] >= floor]

    def robust(found: dict[str, Any]) -> float:
        return float(sum(found["robust"].values())) / len(found["robust"])

    pool, score = (allowed, robust) if allowed else (tried, lambda found: float(found["clean"]))
    best = max(sorted(pool, key=lambda found: float(found["value"])), key=score)
    values = [found["value"] for found in tried]
    return {
        "value": best["value"],
        "floor": floor,
        "within_margin": bool(allowed),
        "at_edge": len(values) > 1 and best["value"] in (min(values), max(values)),
    }


def train(study: Study, job: Job) -> dict[str, Any]:
    """Trains at the selected value on the whole training split; keeps float16 weights."""
    name = job.cell.split("/")[0]
    value = f"{study.found(Job('select', job.cell, job.method))['value']:g}"
    plan, seed = study.plan["train"], int(job.number)
    x, y = examples(name, "train")
    images = study.images(job.method) or len(y)
    model = study.network(job.cell, seed)
    history = fitted(study, job, model, Examples(x[:images], y[:images]), value,
                     plan["epochs"], seed)
    write_atomic(study.path(job, ".safetensors"), zoo.half_weights(model))
    return {"value": float(value), "seed": seed, "images": images, **history}


def fitted(
    study: Study, job: Job, model: nn.Module, split: Examples, value: str, epochs: int, seed: int
) -> dict[str, Any]:
    penalty, strength = study.penalty(job.method, value)
    plan = study.plan["train"]
    epochs = study.plan["methods"][job.method].get("epochs", epochs)
    if not epochs:
        model.eval()
        return {"penalty": "none", "strength": 0.0, "epochs": 0, "steps": 0, "train_seconds": 0.0,
                "loss": [], "penalty_mean": []}
    history = fit(
        model, split, penalty, strength=strength, epochs=epochs, seed=seed,
        batch_size=plan["batch_size"], learning_rate=plan["learning_rate"],
        checkpoint=study.path(job, ".checkpoint"), quiet=not sys.stderr.isatty(),
    )
    return {
        "penalty": repr(penalty), "strength": strength, "epochs": epochs, "steps": history.steps,
        "train_seconds": round(history.seconds, 3),
        "loss": [round(value, 6) for value in history.loss],
        "penalty_mean": [round(value, 6) for value in history.penalty],
    }


def trained(study: Study, job: Job) -> nn.Module:
    """The network of a train job as stored; trained once more where its weights were lost."""
    stored = Job("train", job.cell, job.method, job.number)
    weights = study.path(stored, ".safetensors")
    if not weights.exists():
        study.path(stored).unlink(missing_ok=True)
        run(study, stored)
    return zoo.with_weights(study.network(job.cell, 0), weights.read_bytes())


def evaluate(study: Study, job: Job) -> dict[str, Any]:
    """Clean and robust accuracy and the norms of the derivatives, on the test split."""
    plan, name = study.plan["evaluate"], job.cell.split("/")[0]
    entry = study.plan["data"][name]
    model = trained(study, job)
    x, y = examples(name, "test")
    clean = correct(model, x, y)
    rows = [{"attack": "clean", "norm": "", "epsilon": 0.0, "images": len(y),
             "value": share(clean)}]
    outcomes = {"clean": packed(clean[: plan["attacked"]])}
    x, y = x[: plan["attacked"]], y[: plan["attacked"]]
    for norm in NORMS:
        draw = torch.Generator(x.device).manual_seed(mixed(int(job.number), 4))
        held = survivors(model, x, y, entry["epsilons"][norm], norm, plan["steps"],
                         plan["restarts"], draw)
        for epsilon, alive in held.items():
            rows.append({"attack": "pgd", "norm": norm, "epsilon": epsilon, "images": len(y),
                         "value": share(alive)})
            outcomes[f"pgd/{norm}/{epsilon:g}"] = packed(alive)
    curvature = derivative_norms(model, x[: plan["curved"]], y[: plan["curved"]],
                                 plan["products"], int(job.number))
    return {"accuracy": rows, "outcomes": outcomes, "curvature": curvature}


def by_pgd(study: Study, job: Job) -> dict[str, Any]:
    """PGD at the headline epsilons on all test images."""
    model, x, y, plan = on_test_images(study, job)

    def held(norm: Norm, epsilon: float) -> Tensor:
        draw = torch.Generator(x.device).manual_seed(mixed(int(job.number), 4))
        return survivors(
            model, x, y, [epsilon], norm, plan["steps"], plan["restarts"], draw
        )[epsilon]

    return at_headlines(study, job, "pgd-whole", held)


def by_autoattack(study: Study, job: Job) -> dict[str, Any]:
    """Standard AutoAttack at the headline epsilons on the first test images."""
    model, x, y, _ = on_test_images(study, job)
    model.to(memory_format=torch.channels_last)  # a sixth less time on a CPU

    def held(norm: Norm, epsilon: float) -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()):
            return ~autoattack(model, x, y, epsilon, norm, seed=int(job.number)).fooled

    return at_headlines(study, job, "autoattack", held)


def at_headlines(
    study: Study, job: Job, attack: str, held: Callable[[Norm, float], Tensor]
) -> dict[str, Any]:
    """What an attack leaves at each headline epsilon, as shares and image by image."""
    rows, outcomes = [], {}
    for norm, epsilon in headline(study, job):
        alive = held(norm, epsilon)
        rows.append({"attack": attack, "norm": norm, "epsilon": epsilon, "images": len(alive),
                     "value": share(alive)})
        outcomes[f"{attack}/{norm}/{epsilon:g}"] = packed(alive)
    return {"accuracy": rows, "outcomes": outcomes}


def distance(study: Study, job: Job) -> dict[str, Any]:
    """Distances to the nearest fooling point found, for the first test images."""
    model, x, y, plan = on_test_images(study, job)
    return {"distances": {
        norm: distances(model, x, y, norm, plan["steps"], int(job.number)) for norm in NORMS
    }}


def signs_of_masking(study: Study, job: Job) -> dict[str, Any]:
    """Attacks that should agree, at the headline epsilons."""
    model, x, y, plan = on_test_images(study, job)
    return {"masking": [
        masking(model, x, y, epsilon, norm, plan["steps"], plan["queries"], int(job.number))
        for norm, epsilon in headline(study, job)
    ]}


def certify(study: Study, job: Job) -> dict[str, Any]:
    """Certified accuracy at the l2 epsilons of the plan."""
    model, x, y, plan = on_test_images(study, job)
    return {"certified": certified(model, x, y, plan["epsilons"])}


def on_test_images(study: Study, job: Job) -> tuple[nn.Module, Tensor, Tensor, dict[str, Any]]:
    """A measure's network, its test images, and its part of the plan."""
    plan = study.plan[job.kind]
    x, y = examples(job.cell.split("/")[0], "test")
    return trained(study, job), x[: plan["images"]], y[: plan["images"]], plan


def headline(study: Study, job: Job) -> Iterator[tuple[Norm, float]]:
    yield from study.plan["data"][job.cell.split("/")[0]]["headline"].items()


def cost(study: Study, job: Job) -> dict[str, Any]:
    """What a training step costs beside a plain one."""
    value = f"{study.found(Job('select', job.cell, job.method))['value']:g}"
    held = examples(job.cell.split("/")[0], "train")
    model = study.network(job.cell, 0)
    return {"value": float(value),
            **beside_plain(study, model, held, *study.penalty(job.method, value))}


def beside_plain(
    study: Study, model: nn.Module, held: Examples, penalty: Callable[..., Any], strength: float
) -> dict[str, Any]:
    """Seconds a training step, alternated with plain steps so that both meet the same machine, and
    the memory of one step of each."""
    plan, (x, y) = study.plan["cost"], held
    size = study.plan["train"]["batch_size"]
    contenders = {"": (penalty, strength),
                  "plain_": study.penalty("plain", study.values("plain")[0])}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    draw = torch.Generator(x.device).manual_seed(0)

    def step(penalty: Callable[..., Any], strength: float, batch: slice) -> None:
        terms = penalty(model, x[batch], y[batch], generator=draw)
        optimizer.zero_grad()
        objective = (terms.loss + strength * terms.penalty).mean()
        torch.autograd.backward(objective, inputs=list(model.parameters()))
        optimizer.step()
        if x.is_cuda:
            torch.cuda.synchronize()

    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(plan["warm_up"] + plan["steps"]):
        batch = slice(turn * size, (turn + 1) * size)
        for name, contender in contenders.items():
            started = time.perf_counter()
            step(*contender, batch)
            if turn >= plan["warm_up"]:
                taken[name].append(time.perf_counter() - started)
    ratios = [a / b for a, b in zip(*taken.values(), strict=True)]
    peaks = {}
    for name, contender in contenders.items():
        optimizer.zero_grad()  # the record does not see what goes that came before it
        peaks[f"{name}peak_bytes"] = peak_bytes(partial(step, *contender, slice(size)))
    return {
        "batch_size": size, "steps": plan["steps"],
        **{f"{name}seconds": float(np.median(seconds)) for name, seconds in taken.items()},
        "relative": float(np.median(ratios)),
        "low": float(np.quantile(ratios, 0.25)), "high": float(np.quantile(ratios, 0.75)),
        **peaks,
    }


def peak_bytes(step: Callable[[], None]) -> int:
    """What a step's tensors take at once beyond what was there before it."""
    if device().startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        step()
    record: Any = run.profiler
    events = [event for event in record.kineto_results.events() if event.name() == "[memory]"]
    changes: list[int] = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return max(accumulate(changes, initial=0))


PRICES = {"whole": 80, "autoattack": 3_000, "distance": 400, "masking": 1_000, "certify": 10}


def price(study: Study, job: Job) -> float:
    """What a job costs, in training passes of plain over one image: only for the estimate."""
    if job.kind in ("tables", "select", "cost"):
        return 1.0
    if job.kind in MEASURES[1:]:
        return float(study.plan[job.kind]["images"] * PRICES[job.kind])
    if job.kind == "evaluate":
        plan, epsilons = study.plan["evaluate"], study.plan["data"][job.cell.split("/")[0]]
        count = sum(len(budgets) for budgets in epsilons["epsilons"].values())
        return float(plan["attacked"] * plan["steps"] * plan["restarts"] * count) / 2
    plan = study.plan[job.kind]
    images = plan["images"] if job.kind == "sweep" else study.images(job.method) or 55_000
    return float(images * plan["epochs"] * study.plan["methods"][job.method]["price"])


def run_stage(study: Study, stage: str, workers: int) -> None:
    """Every job of a stage that is not done, with a line after each: how far, how long still."""
    restore(study)
    jobs = list(study.jobs(stage))
    open_jobs = [job for job in jobs if job.kind == "tables" or not study.path(job).exists()]
    left, spent = sum(price(study, job) for job in open_jobs), 0.0
    started = time.perf_counter()
    print(f"{stage}: {len(jobs) - len(open_jobs)} of {len(jobs)} jobs were done", flush=True)

    def report(count: int, job: Job) -> None:
        nonlocal spent
        spent += price(study, job)
        seconds = time.perf_counter() - started
        rest = seconds / spent * (left - spent)
        print(f"{stage}: {len(jobs) - len(open_jobs) + count} of {len(jobs)}, {job}, "
              f"{seconds:.0f} s so far, about {rest / 60:.0f} min left", flush=True)

    if workers == 1:
        for count, job in enumerate(open_jobs, 1):
            run(study, job)
            report(count, job)
        return
    count = 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for kind in KINDS:
            batch = {pool.submit(run, study, job): job for job in open_jobs if job.kind == kind}
            for future in as_completed(batch):
                future.result()
                count += 1
                report(count, batch[future])


def restore(study: Study) -> None:
    """Takes finished jobs from the committed record where the runs folder has lost them, and the
    zoo's weights with them."""
    record = study.results / "records.jsonl"
    if not record.exists():
        return
    for line in record.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        job = Job.parse(found["job"])
        if study.path(job).exists():
            continue
        write_atomic(study.path(job), (json.dumps(found, indent=1) + "\n").encode())
        shipped = study.zoo / f"{zoo.file_stem(zoo_name(job))}.safetensors"
        if job.kind == "train" and job.number == "1" and shipped.exists():
            study.path(job).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped, study.path(job, ".safetensors"))


def zoo_name(job: Job) -> str:
    """`mnist/softplus/plain` for the study's network, `mnist/small/softplus/plain` for others."""
    name, network, activation = job.cell.split("/")
    middle = "" if network == "cnn" else f"{network}/"
    return f"{name}/{middle}{activation}/{job.method}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="curvlab.study", description="One job of the study.")
    parser.add_argument("jobs", nargs="+", metavar="JOB")
    parser.add_argument("--study", type=Path, default=Path("experiments/study.yaml"))
    parser.add_argument("--runs", type=Path, default=Path(os.environ.get("CURVLAB_RUNS", "runs")))
    parser.add_argument("--side-by-side", type=int, default=1, metavar="N")
    parser.add_argument("--list", action="store_true", help="print the jobs and leave")
    given = parser.parse_args(arguments)
    study = Study(given.study, given.runs)
    for text in given.jobs:
        kind, _, name = text.partition(":")
        if kind == "stage" and given.list:
            print("\n".join(map(str, study.jobs(name))))
        elif kind == "stage":
            run_stage(study, name, given.side_by_side)
        else:
            run(study, Job.parse(text))


if __name__ == "__main__":
    # The module that the others import, not this second copy of it: one cache of the images.
    from curvlab.study import main as start

    start()
