"""curvlab against its peers: one process, all functions in turn, ratios to one base.

The case is a 207,178-weight convolutional network after 300 Adam steps on MNIST, and 128 images
that it did not train on. In every table the functions take turns, round after round, so that a
disturbance hits all of them; a row states the ratio of the medians and of the minima of its time
and the base's. On a shared machine trust the minima. Peers that treat one example at a time run
on a few examples a round and are scaled to 128. Peers get the stock softplus and the stock loss,
as their users would.

    make bench                            all tables, some ten minutes, into benchmarks/results
    python benchmarks/bench.py --quick    two rounds, 8 images of truth, nothing written
"""

import argparse
import copy
import hashlib
import os
import platform
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from curvlinops import HessianLinearOperator
from curvlinops.papyan2020traces.spectrum import (
    approximate_boundaries,
    lanczos_approximate_spectrum,
)
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pyhessian import hessian as pyhessian
from pyhessian.utils import hessian_vector_product
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from curvlab import data, objectives, penalties
from curvlab.calculus import hessian_operator, input_gradient, parameter_hessian
from curvlab.figures import style
from curvlab.losses import margin_cross_entropy
from curvlab.networks import SmallCNN
from curvlab.spectrum import lanczos, ritz, spectral_density, top_eigenpair

ROOT = Path(__file__).resolve().parent.parent
BATCH, PIXELS, STEPS = 128, 784, 300
OURS = "curvlab"


class Method(NamedTuple):
    """One way to do a case; `run(i)` is its i-th turn and `scale` the share of the work it does."""

    name: str
    run: Callable[[int], object]
    scale: float = 1.0
    note: str = ""
    accuracy: Callable[[], str] = lambda: ""


class Limit(NamedTuple):
    """What a measured number has to be."""

    what: str
    measured: float
    least: float | None = None
    most: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds, nothing written")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--minutes", type=float, default=7.0, help="for the timed tables")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="all cores")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    case = Case(truths=8 if options.quick else BATCH)
    tables, limits = [], []
    for share, table in ((0.15, products), (0.4, inputs), (0.25, weights), (0.2, steps)):
        if options.only in table.__name__:
            seconds = 0 if options.quick else 60 * share * options.minutes
            found = turns(*table(case), seconds)
            tables.append(found)
            report(found)
            limits += targets(found)
    if options.only in "precision":
        found, more = precision(case)
        tables.append(found)
        report(found)
        limits += more
    verdict(tables, limits)
    if not (options.quick or options.only):
        write(pd.concat(tables), limits)


# --- the case


class Case:
    """The network in its four forms, the images, and their exact top eigenvalues."""

    def __init__(self, truths: int):
        images = data.load("mnist", "train")
        self.x, self.y = images.x[19872:20000], images.y[19872:20000]
        self.many_x, self.many_y = images.x[20000:22048], images.y[20000:22048]
        self.own = SmallCNN(width=128, padded=True, beta=1.0)
        self.own.load_state_dict(
            cached(f"net-{STEPS}-{torch.__version__}", lambda: trained(images))
        )
        self.stock = copy.deepcopy(self.own)
        for i, layer in enumerate(self.stock):
            if type(layer).__name__ == "Softplus":
                self.stock[i] = nn.Softplus()
        self.exact = copy.deepcopy(self.stock).double()
        weights = b"".join(p.detach().numpy().tobytes() for p in self.own.parameters())
        key = f"top-{truths}-{hashlib.sha256(weights).hexdigest()[:16]}"
        self.top = cached(key, lambda: self.explicit(truths))

    def loss(self, x: Tensor) -> Tensor:
        return margin_cross_entropy(self.own(x), self.y)

    def stock_loss(self, x: Tensor) -> Tensor:
        return F.cross_entropy(self.stock(x), self.y, reduction="none")

    def explicit(self, count: int) -> Tensor:
        """Top eigenvalues of explicit float64 Hessians, column by column, by torch alone."""
        x = self.x[:count].double().requires_grad_()
        loss = F.cross_entropy(self.exact(x), self.y[:count], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        columns = []
        for e in torch.eye(PIXELS, dtype=torch.float64):
            seed = e.view(1, 1, 28, 28).expand_as(x)
            columns.append(torch.autograd.grad(gradient, x, seed, retain_graph=True)[0].flatten(1))
        values = torch.linalg.eigvalsh(torch.stack(columns, 2))
        return values.gather(1, values.abs().argmax(1, keepdim=True)).squeeze(1)

    def error(self, found: dict[int, float]) -> str:
        """How far eigenvalues, by example, are from the exact ones."""
        relative = [abs(v / float(self.top[i]) - 1) for i, v in found.items() if i < len(self.top)]
        if not relative:
            return ""
        close = np.mean([r <= 1e-4 for r in relative])
        return f"max {max(relative):.1e}, {close:.0%} of {len(relative)} within 1e-4"


def trained(images: data.Examples) -> dict[str, Tensor]:
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    model = SmallCNN(width=128, padded=True, beta=1.0)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(STEPS):
        batch = torch.randint(19872, (BATCH,), generator=draw)
        optimizer.zero_grad()
        margin_cross_entropy(model(images.x[batch]), images.y[batch]).mean().backward()
        optimizer.step()
    return model.state_dict()


def cached(name: str, make: Callable[[], object]):
    """What `make` makes, kept under a name that says what it depends on."""
    path = ROOT / "runs" / f"bench-{name}.pt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        torch.save(make(), path)
    return torch.load(path)


class Pixels(nn.Module):
    """The network as a function of its input, for tools that differentiate in parameters."""

    def __init__(self, network: nn.Module, x: Tensor):
        super().__init__()
        self.pixels = nn.Parameter(x.clone())
        self.forward = lambda _: network(self.pixels)


# --- the tables


def products(case: Case) -> tuple[str, list[Method]]:
    """One more Hessian-vector product for 128 images, from what each tool keeps."""
    v = torch.randn(case.x.shape, generator=torch.Generator().manual_seed(1))
    own = hessian_operator(case.loss, case.x)
    stock = hessian_operator(lambda x: margin_cross_entropy(case.stock(x), case.y), case.x)
    stock_sum = nn.CrossEntropyLoss(reduction="sum")
    frozen = copy.deepcopy(case.stock).requires_grad_(False)
    pixels = Pixels(frozen, case.x)
    blank = torch.zeros(BATCH, 1)
    linear = HessianLinearOperator(
        pixels, stock_sum, [pixels.pixels], [(blank, case.y)], check_deterministic=False
    )
    leaf = case.x.clone().requires_grad_()
    (kept,) = torch.autograd.grad(case.stock_loss(leaf).sum(), leaf, create_graph=True)
    flat = v.flatten()

    def total(x: Tensor) -> Tensor:
        return case.stock_loss(x).sum()

    methods = [
        Method("input gradient", lambda i: input_gradient(case.loss, case.x)),
        Method(OURS, lambda i: own(v), note="its own softplus"),
        Method(f"{OURS}, stock softplus", lambda i: stock(v)),
        Method(f"{OURS}, built anew", lambda i: hessian_operator(case.loss, case.x)(v)),
        Method("PyHessian", lambda i: hessian_vector_product([kept], [leaf], [v])),
        Method("curvlinops", lambda i: linear @ flat, note="all images as one parameter"),
        Method(
            "torch.func jvp(grad)",
            lambda i: torch.func.jvp(torch.func.grad(total), (case.x,), (v,)),
        ),
        Method(
            "torch.autograd.functional.hvp",
            lambda i: torch.autograd.functional.hvp(total, case.x, v),
        ),
    ]
    return "Hessian-vector product, 128 images", methods


def inputs(case: Case) -> tuple[str, list[Method]]:
    """The top eigenvalue of the input Hessian of each of 128 images."""
    found: dict[str, dict[int, float]] = {}
    frozen = copy.deepcopy(case.stock).requires_grad_(False)
    blank = torch.zeros(1, 1)

    def keep(name: str, index: int, value: float) -> None:
        found.setdefault(name, {})[index] = value

    def ours(name: str, loss: Callable[[Tensor], Tensor]) -> None:
        operator = hessian_operator(loss, case.x)
        for i, value in enumerate(top_eigenpair(operator, operator.gradient, 7).value.tolist()):
            keep(name, i, value)

    def by_pyhessian(i: int) -> None:
        model = Pixels(frozen, case.x[i : i + 1])
        sample = (blank, case.y[i : i + 1])
        values, _ = pyhessian(model, nn.CrossEntropyLoss(), data=sample, cuda=False).eigenvalues()
        keep("PyHessian", i, values[0])

    def by_scipy(i: int) -> None:
        x = case.x[i : i + 1].clone().requires_grad_()
        loss = F.cross_entropy(frozen(x), case.y[i : i + 1])
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)

        def product(v: np.ndarray) -> np.ndarray:
            seed = torch.from_numpy(v).view_as(x)
            return torch.autograd.grad(gradient, x, seed, retain_graph=True)[0].numpy().ravel()

        operator = LinearOperator((PIXELS, PIXELS), product, dtype=np.float32)
        keep("SciPy eigsh", i, eigsh(operator, k=1, tol=1e-3, return_eigenvectors=False)[0])

    def by_curvlinops(i: int) -> None:
        model = Pixels(frozen, case.x[i : i + 1])
        sample = [(blank, case.y[i : i + 1])]
        operator = HessianLinearOperator(
            model, nn.CrossEntropyLoss(), [model.pixels], sample, check_deterministic=False
        ).to_scipy()
        keep("curvlinops + eigsh", i, eigsh(operator, k=1, tol=1e-3, return_eigenvectors=False)[0])

    def by_torch(i: int) -> None:
        def loss(x: Tensor) -> Tensor:
            return F.cross_entropy(frozen(x), case.y[i : i + 1])

        matrix = torch.autograd.functional.hessian(loss, case.x[i : i + 1]).view(PIXELS, PIXELS)
        values = torch.linalg.eigvalsh(matrix)
        keep("torch.autograd.functional", i, float(values[values.abs().argmax()]))

    def each(name: str, run: Callable[[int], None], size: int) -> Method:
        def turn(i: int) -> None:
            for k in range(size):
                run((i * size + k) % BATCH)

        note = f"{size} of 128 images a round, scaled"
        return Method(name, turn, BATCH / size, note, lambda: case.error(found[name]))

    def batched(name: str, loss: Callable[[Tensor], Tensor], note: str) -> Method:
        return Method(name, lambda i: ours(name, loss), 1, note, lambda: case.error(found[name]))

    def stock(x: Tensor) -> Tensor:
        return margin_cross_entropy(case.stock(x), case.y)

    methods = [
        Method("input gradient", lambda i: input_gradient(case.loss, case.x)),
        batched(OURS, case.loss, "seven Lanczos steps from the gradient"),
        batched(f"{OURS}, stock softplus", stock, "seven Lanczos steps from the gradient"),
        batched(f"{OURS}, stock softplus and loss", case.stock_loss, "seven steps"),
        each("PyHessian", by_pyhessian, 4),
        each("SciPy eigsh", by_scipy, 4),
        each("curvlinops + eigsh", by_curvlinops, 1),
        each("torch.autograd.functional", by_torch, 1),
    ]
    return "top input eigenvalue, 128 images", methods


def weights(case: Case) -> tuple[str, list[Method]]:
    """The Hessian in the 207,178 weights: a product, the top eigenvalue, the density."""
    model, stock = copy.deepcopy(case.own), copy.deepcopy(case.stock)
    sample = (case.x, case.y)

    def mean(m: nn.Module) -> Tensor:
        return margin_cross_entropy(m(case.x), case.y).mean()

    def gradient(i: int) -> object:
        return torch.autograd.grad(mean(model), list(model.parameters()))

    operator = parameter_hessian(mean, model)
    v = torch.randn(operator.gradient.shape, generator=torch.Generator().manual_seed(2))
    linear = HessianLinearOperator(
        stock, nn.CrossEntropyLoss(), list(stock.parameters()), [sample], check_deterministic=False
    )
    exact = copy.deepcopy(case.exact)

    def exact_mean(m: nn.Module) -> Tensor:
        return F.cross_entropy(m(case.x.double()), case.y)

    precise = parameter_hessian(exact_mean, exact)
    truth = top_eigenpair(precise, precise.gradient, 25, tolerance=1e-6)
    edge = float(truth.value)
    found: dict[str, float] = {}

    def error(name: str) -> Callable[[], str]:
        return lambda: f"{abs(found[name] / edge - 1):.1e}"

    def ours(i: int) -> None:
        built = parameter_hessian(mean, model)
        found[OURS] = float(top_eigenpair(built, built.gradient, 10).value)

    def by_pyhessian(i: int) -> None:
        for weight in stock.parameters():
            weight.grad = None
        values, _ = pyhessian(stock, nn.CrossEntropyLoss(), data=sample, cuda=False).eigenvalues()
        found["PyHessian"] = values[0]

    def by_curvlinops(i: int) -> None:
        value = eigsh(linear.to_scipy(), k=1, tol=1e-3, return_eigenvectors=False)
        found["curvlinops"] = float(value[0])

    def density(i: int) -> object:
        built = parameter_hessian(mean, model)
        return spectral_density(built, v, 1, 30, torch.Generator().manual_seed(i))

    ends = (-0.1 * edge, edge)
    methods = [
        Method("parameter gradient", gradient),
        Method(f"product: {OURS}", lambda i: operator(v)),
        Method("product: curvlinops", lambda i: linear @ v[0]),
        Method(f"top eigenvalue: {OURS}", ours, 1, "ten Lanczos steps", error(OURS)),
        Method("top eigenvalue: PyHessian", by_pyhessian, 1, "defaults", error("PyHessian")),
        Method(
            "top eigenvalue: curvlinops + eigsh", by_curvlinops, 1, "tol 1e-3", error("curvlinops")
        ),
        Method(f"density: {OURS}", density, 10, "1 of 10 probes x 30 steps a round, scaled"),
        Method(
            "density: curvlinops, ends given",
            lambda i: lanczos_approximate_spectrum(linear, 30, boundaries=ends),
            10,
            "1 of 10 probes x 30 steps a round, scaled; no reorthogonalization",
        ),
        Method(
            "density: curvlinops, its search for the ends",
            lambda i: approximate_boundaries(linear),
            1,
            "once for each density, unless the ends are known",
        ),
    ]
    return "parameter space", methods


def steps(case: Case) -> tuple[str, list[Method]]:
    """One training step of a regularizer: forward, penalty, backward, update."""
    model = copy.deepcopy(case.own)
    everything = list(model.parameters())
    optimizer = torch.optim.SGD(everything, lr=0.0)
    draw = torch.Generator().manual_seed(3)

    def step(objective: Callable[..., penalties.Terms]) -> Callable[[int], None]:
        def run(i: int) -> None:
            optimizer.zero_grad()
            terms = objective(model, case.x, case.y, generator=draw)
            (terms.loss + terms.penalty).mean().backward(inputs=everything)
            optimizer.step()

        return run

    trainings = {
        "plain step": objectives.Plain(),
        "FGSM": objectives.Fgsm(epsilon=0.1),
        "PGD-7": objectives.PgdTraining(epsilon=0.1, steps=7),
        "PGD-10": objectives.PgdTraining(epsilon=0.1, steps=10),
        "input gradient": penalties.InputGradient(),
        "input gradient, finite difference": penalties.GradientFiniteDifference(),
        "Jacobian, one probe": penalties.JacobianFrobenius(),
        "cross-Lipschitz, one probe": penalties.CrossLipschitz(),
        "CURE": penalties.Cure(),
        "Hessian norm, three Lanczos steps": penalties.HessianNorm(),
    }
    return "training step", [Method(name, step(value)) for name, value in trainings.items()]


def precision(case: Case) -> tuple[pd.DataFrame, list[Limit]]:
    """What float32 leaves of a Hessian-vector product, by the size of the loss; and of Q'Q = I."""
    draw = torch.Generator().manual_seed(4)
    v = torch.randn(case.many_x.shape, generator=draw)

    def product(model: nn.Module, loss: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        images, labels = case.many_x.to(dtype).split(256), case.many_y.split(256)
        parts = []
        for x, y, w in zip(images, labels, v.to(dtype).split(256), strict=True):
            operator = hessian_operator(lambda x, y=y: loss(model(x), y), x)
            parts.append((operator(w).double().flatten(1), operator.value.detach().double()))
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    def stock(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, reduction="none")

    exactly, losses = product(case.exact, margin_cross_entropy, torch.float64)
    rows, worst = [], 0.0
    for name, loss in ((OURS, margin_cross_entropy), ("F.cross_entropy", stock)):
        found, _ = product(case.own, loss, torch.float32)
        error = (found - exactly).norm(dim=1) / exactly.norm(dim=1)
        for low in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
            high = 10 * low if low < 1e-2 else float("inf")
            within = error[(losses >= low) & (losses < high)]
            if len(within):
                text = f"median {within.median():.1e}, max {within.max():.1e}"
                title = f"float32 product error, losses from {low:g}"
                rows.append((title, name, text, f"{len(within)} images"))
                worst = max(worst, float(within.max())) if name == OURS else worst
    operator = hessian_operator(case.loss, case.x)
    krylov = lanczos(operator, operator.gradient, 60)
    basis = krylov.basis.flatten(2)
    live = torch.diag_embed((torch.arange(60) < krylov.size.unsqueeze(1)).float())
    lost = float((basis @ basis.mT - live).abs().max())
    values = ritz(krylov).values
    near = (values / values.amax(1, keepdim=True) - 1).abs() < 1e-3
    ghosts = int(near.sum()) - BATCH
    rows.append(
        ("60 float32 Lanczos steps", OURS, f"max |Q'Q - I| {lost:.1e}, {ghosts} ghosts", "")
    )
    table = pd.DataFrame(rows, columns=["case", "method", "accuracy", "note"])
    return table, [
        Limit("float32 product error in every loss bin", worst, most=1e-5),
        Limit("orthogonality lost in 60 float32 steps", lost, most=1e-6),
        Limit("ghost eigenvalues in 60 float32 steps", ghosts, most=0),
    ]


# --- timing and reporting


def turns(case: str, methods: list[Method], seconds: float) -> pd.DataFrame:
    """Every method once a round, the first one three times; rounds until the time is up."""
    times: list[list[float]] = [[] for _ in methods]
    start, i = time.perf_counter(), 0
    while i < 2 or time.perf_counter() - start < seconds:
        for taken, method in zip(times, methods, strict=True):
            for _ in range(3 if method is methods[0] else 1):
                before = time.perf_counter()
                method.run(i)
                taken.append((time.perf_counter() - before) * method.scale)
        i += 1
    # the first round pays for what later ones find ready
    warm = [taken[3:] if k == 0 else taken[1:] for k, taken in enumerate(times)]
    base = warm[0]
    rows = [
        {
            "case": case,
            "method": method.name,
            "ratio_median": np.median(taken) / np.median(base),
            "ratio_min": min(taken) / min(base),
            "accuracy": method.accuracy(),
            "note": method.note,
            "rounds": i - 1,
            "base": f"{methods[0].name}: {1e3 * min(base):.1f} ms",
        }
        for method, taken in zip(methods, warm, strict=True)
    ]
    return pd.DataFrame(rows)


def targets(table: pd.DataFrame) -> list[Limit]:
    """What the table has to show, by its minima."""
    at = dict(zip(table["method"], table["ratio_min"], strict=True))
    name = table["case"].iloc[0]
    if name.startswith("Hessian"):
        return [
            Limit("extra product, own softplus", at[OURS], most=1.3),
            Limit("extra product, stock softplus", at[f"{OURS}, stock softplus"], most=1.75),
        ]
    if name.startswith("top input"):
        text = table.set_index("method").loc[OURS, "accuracy"]
        limits = [
            Limit("top eigenvalue of 128 images, in input gradients", at[OURS], most=10.5),
            Limit("its largest relative error", float(text.split()[1].rstrip(",")), most=1e-4),
        ]
        for peer, least in (
            ("PyHessian", 4),
            ("SciPy eigsh", 12),
            ("curvlinops + eigsh", 60),
            ("torch.autograd.functional", 400),
        ):
            limits.append(Limit(f"times faster than {peer}", at[peer] / at[OURS], least=least))
        return limits
    if name.startswith("parameter"):
        peer = at["density: curvlinops, ends given"]
        search = at["density: curvlinops, its search for the ends"]
        ours = at[f"density: {OURS}"]
        return [
            Limit(
                "top eigenvalue of the weights, in parameter gradients",
                at[f"top eigenvalue: {OURS}"],
                most=30,
            ),
            Limit("density, times faster than curvlinops", (peer + search) / ours, least=2),
            Limit("density, the same with its ends given", peer / ours, least=1),
        ]
    pgd = {method: ratio / at["PGD-7"] for method, ratio in at.items()}
    return [
        Limit("input-gradient step, of a PGD-7 step", pgd["input gradient"], most=0.36),
        Limit("one-probe Jacobian step", pgd["Jacobian, one probe"], most=0.36),
        Limit("cross-Lipschitz step", pgd["cross-Lipschitz, one probe"], most=0.40),
        Limit("CURE step", pgd["CURE"], most=0.72),
        Limit(
            "Hessian-norm step, of a PGD-10 step",
            at["Hessian norm, three Lanczos steps"] / at["PGD-10"],
            most=1.0,
        ),
    ]


def met(limit: Limit) -> bool:
    return (limit.most is None or limit.measured <= limit.most) and (
        limit.least is None or limit.measured >= limit.least
    )


def report(table: pd.DataFrame) -> None:
    first = table.iloc[0]
    if "base" in table:
        print(f"\n{first['case']}  ({first['base']}, {first['rounds']} rounds)")
    for row in table.to_dict("records"):
        ratios = (row.get("ratio_median"), row.get("ratio_min"))
        text = row["case"] if None in ratios else "{:9.2f} {:9.2f}".format(*ratios)
        print(f"  {row['method']:46s} {text}  {row['accuracy']}", flush=True)


def wins(table: pd.DataFrame) -> list[str]:
    """Where a peer is faster than curvlab at the same work, in one sentence each.

    Methods of one table do the same work, or the work that stands before their colon.
    """
    if "ratio_min" not in table or table["case"].iloc[0] == "training step":
        return []
    lines = []
    rows = table.iloc[1:]
    work = rows["method"].str.extract(r"^([\w ]+): ")[0].fillna("")
    for _, same in rows.groupby(work, sort=False):
        mine = same["method"].str.contains(OURS)
        for peer in same[~mine].itertuples():
            slower = same[mine & (same["ratio_min"] > peer.ratio_min)]["method"]
            if len(slower) and "search" not in peer.method:
                lines.append(f"{peer.case}: {peer.method} is faster than {'; '.join(slower)}")
    return lines


def verdict(tables: list[pd.DataFrame], limits: list[Limit]) -> None:
    print("\nTargets, by the minima")
    for limit in limits:
        bound = f"<= {limit.most:g}" if limit.most is not None else f">= {limit.least:g}"
        state = "met" if met(limit) else "MISSED"
        print(f"  {state:7s}{limit.what:58s}{limit.measured:10.3g}  {bound}")
    print("\nWhere a peer wins")
    for line in [line for table in tables for line in wins(table)] or ["nowhere in this run"]:
        print(f"  {line}")


def machine() -> str:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    threads, load = torch.get_num_threads(), os.getloadavg()[1]
    return f"{cpu}, {os.cpu_count()} cores, {threads} thread(s), load average {load:.1f}"


def write(table: pd.DataFrame, limits: list[Limit]) -> None:
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    names = ("torch", "scipy", "curvlinops-for-pytorch", "PyHessian")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    date = datetime.now(UTC).date().isoformat()
    stamped = table.assign(machine=machine(), versions=versions, date=date)
    stamped.to_csv(folder / "peers.csv", index=False, float_format="%.4g")
    rows = [limit._asdict() | {"met": met(limit)} for limit in limits]
    pd.DataFrame(rows).assign(date=date).to_csv(
        folder / "targets.csv", index=False, float_format="%.4g"
    )
    style.use()
    (folder / "peers.png").write_bytes(style.fig_to_png(figure(table, date)))
    print(f"\nWritten: {folder.relative_to(ROOT)}/peers.csv, targets.csv, peers.png")


def figure(table: pd.DataFrame, date: str) -> Figure:
    """Ratios of minima on a logarithmic axis, one panel for each timed case."""
    timed = table[table["ratio_min"].notna() & (table["ratio_min"] != 1)]
    groups = list(timed.groupby("case", sort=False))
    heights = [len(rows) + 2 for _, rows in groups]
    drawn = Figure(figsize=(style.WIDTH, 0.27 * sum(heights)))
    axes = np.atleast_1d(drawn.subplots(len(groups), 1, height_ratios=heights))
    for axis, (name, rows) in zip(axes, groups, strict=True):
        names = list(rows["method"])
        for place, (method, ratio) in enumerate(zip(names, rows["ratio_min"], strict=True)):
            ours = OURS in method or name == "training step"
            color, mark = (style.BLUE, "o") if ours else (style.ORANGE, "s")
            axis.plot(ratio, place, mark, color=color)
            axis.annotate(
                f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}",
                (ratio, place),
                (7, -3),
                textcoords="offset points",
                fontsize=8,
            )
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.15, y=0.08)
        axis.set_title(name)
        axis.set_xlabel(f"time over one {rows['base'].iloc[0].split(':')[0]}")
    drawn.supxlabel(f"Ratios of minima, {date}. Circles: curvlab; squares: peers.", fontsize=9.5)
    return drawn


if __name__ == "__main__":
    main()
