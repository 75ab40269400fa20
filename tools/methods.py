"""What the reference says of every penalty and objective: one table, several pages.

The pages are `book/reference/methods` (what each method bounds, and what it does not),
`book/reference/training-loop` (its three lines) and the map. `tools/ledgers.py` writes them.
"""

import inspect
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from curvlab import objectives, penalties, results
from curvlab.networks import SmallCNN

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/book"))

import counterexamples  # noqa: E402
import notebooks as nb  # noqa: E402


class Method(NamedTuple):
    """One public class: how it is called, where it comes from, what follows from its value."""

    name: str
    call: str
    sees: str
    bounds: str
    # bound of the robust loss or a radius, or why there is none; {prf:ref} to what proves it
    text: str
    derived: tuple[tuple[str, str], ...]  # (file, heading), the best one first
    statements: tuple[str, ...] = ()
    strength: str = ""
    study: str = ""


INPUT_GRADIENT = "book/first-order/input-gradient"
JACOBIAN = "book/first-order/jacobian"
MARGINS = "book/first-order/margins"
QUADRATIC = "book/second-order/quadratic-model"
HESSIAN = "book/second-order/hessian-norm"
WORST = "book/second-order/worst-case-quadratic"
TARGET = "book/second-order/target-matrices"
SMOOTHING = "book/guarantees/implicit-smoothing"
THREATS = "book/local-picture/threat-models"

LOG_GRID = "a grid of factors of four, from where strength times penalty is a tenth of the loss"
RADIUS = "strength 1: the penalty has the unit of the loss; choose `epsilon`, the radius to defend"
SQUARE = "a grid of factors of ten around 1000: the penalty is the square of a small difference"
NOTHING = "none: the penalty is zero, any strength gives the same step"

PENALTIES = (
    Method(
        "InputGradient",
        "InputGradient()",
        "slope at the point",
        "robust loss, to first order",
        r"""With $K_+$ a bound of the curvature over the whole ball,
{prf:ref}`thm-robust-loss-sandwich` gives $\max\ell\le\ell+\eps\norm{g}_*+\tfrac12K_+\eps^2$, and
a lower bound like it. The penalty supplies $\norm{g}_*$ (its `norm` is the *dual* of the
adversary's: `l2` against $\ell_2$, `l1` against $\ell_\infty$); $K_+$ comes from elsewhere.""",
        ((INPUT_GRADIENT, "How fast can a loss rise?"),),
        ("thm-robust-loss-sandwich",),
        LOG_GRID,
        "input-gradient",
    ),
    Method(
        "GradientFiniteDifference",
        "GradientFiniteDifference(step=0.01)",
        "slope, and half a step of signed curvature",
        "robust loss, to first order",
        r"""By {prf:ref}`thm-finite-difference` the slope $D_h$ over a step $h$ is the gradient's
norm plus half a step of *signed* curvature. If $-K_-$ and $K_+$ bound the curvature over a ball
of radius $\max(h,\eps)$, then $D_h\ge\norm{g}_*-\tfrac h2K_-$ by Taylor's formula, and the
sandwich of {prf:ref}`thm-robust-loss-sandwich` becomes $\max\ell\le\ell+\eps(D_h+\tfrac
h2K_-)+\tfrac12K_+\eps^2$.""",
        ((INPUT_GRADIENT, "Finite differences hide curvature"),),
        ("thm-finite-difference", "thm-robust-loss-sandwich"),
        LOG_GRID,
    ),
    Method(
        "JacobianFrobenius",
        "JacobianFrobenius(probes=1)",
        "all slopes of all logits",
        "robust loss, over the ball",
        r"""{prf:ref}`thm-jacobian-ball` with $\norm{J_c}\le\norm{J}_F$
({prf:ref}`prop-jacobian-norms`): over the $\ell_2$ ball
$\max\ell\le\ell+\sqrt2\,\eps\sup\norm{J}_F$, the supremum over the ball. At the point alone
{prf:ref}`thm-jacobian-surrogates` bounds the first-order term, with the factor $1-p_y$. One probe
is unbiased, with the variance of {prf:ref}`thm-jacobian-variances`.""",
        ((JACOBIAN, "Exactly, on the ball"),),
        ("thm-jacobian-ball", "prop-jacobian-norms", "thm-jacobian-surrogates"),
        LOG_GRID,
        "jacobian-frobenius",
    ),
    Method(
        "JacobianSpectral",
        "JacobianSpectral(steps=3)",
        "the steepest combination of logits",
        "robust loss, over the ball",
        r"""{prf:ref}`thm-jacobian-ball` with $\norm{J_c}\le\norm{J}$:
$\max\ell\le\ell+\sqrt2\,\eps\sup\norm{J}$ over the $\ell_2$ ball. With `centered=True` it is the
theorem's own quantity. Few steps find $\norm{J}$ from below; `method="gram"` is exact.""",
        ((JACOBIAN, "The derivative of the spectral norm"),),
        ("thm-jacobian-ball", "thm-jacobian-spectral-derivative"),
        LOG_GRID,
        "jacobian-spectral",
    ),
    Method(
        "JacobianEntrywise",
        "JacobianEntrywise()",
        "all entries of the Jacobian",
        "robust loss, over the ball",
        r"""The $\ell_\infty$ half of {prf:ref}`thm-jacobian-ball`:
$\max\ell\le\ell+\eps\sup\norm{J}_{1,1}$ over the $\ell_\infty$ ball.""",
        ((JACOBIAN, "Exactly, on the ball"),),
        ("thm-jacobian-ball", "prop-jacobian-norms"),
        LOG_GRID,
    ),
    Method(
        "CrossLipschitz",
        "CrossLipschitz(probes=1)",
        "slopes of the logits' differences",
        "robust loss and radius, over the ball",
        r"""Its value is $R=\tfrac2C\norm{J_c}_F^2$, so that {prf:ref}`thm-jacobian-ball` reads
$\max\ell\le\ell+\eps\sup\sqrt{C\,R}$ over the $\ell_2$ ball. Where
$R\le\omega^2$ on the ball, {prf:ref}`prop-margins-cross` certifies every radius below
$\min_jm_j/(\sqrt C\,\omega)$.""",
        ((MARGINS, "What cross-Lipschitz training controls"),),
        ("thm-jacobian-ball", "prop-margins-cross"),
        LOG_GRID,
        "cross-lipschitz",
    ),
    Method(
        "HessianNorm",
        "HessianNorm(steps=3)",
        "the largest curvature at the point",
        "robust loss and radius, over the ball",
        r"""With $K=\sup\norm{H}$ over the ball {prf:ref}`thm-hessian-loss` bounds the robust loss
by $\ell+\eps\norm{g}+\tfrac12K\eps^2$ and {prf:ref}`thm-hessian-radius` certifies a radius. The
penalty is $\norm{H}$ at data points: not the supremum, and without $\norm{g}$.""",
        ((HESSIAN, "The bound"),),
        ("thm-hessian-loss", "thm-hessian-radius"),
        LOG_GRID,
        "hessian-norm",
    ),
    Method(
        "SecondOrderModel",
        "SecondOrderModel(epsilon=0.5)",
        "slope and largest curvature",
        "robust loss, over the ball",
        r"""It is the right side of {prf:ref}`thm-hessian-loss` with the curvature at the point in
place of its supremum over the ball. At the point it is at least the maximum of the quadratic
model ({prf:ref}`thm-worst-certificate`), once its inner iteration has found $\norm{H}$.""",
        ((HESSIAN, "The bound"),),
        ("thm-hessian-loss", "thm-worst-certificate"),
        RADIUS,
        "second-order-model",
    ),
    Method(
        "Cure",
        "Cure(step=1.5)",
        "change of slope over a step",
        "nothing by itself",
        r"""None follows. The change over a step is at most $h\sup\norm{H}$
({prf:ref}`prop-quadratic-secant`): it bounds the curvature from *below*, where a robust loss
needs it from above. The interval of {prf:ref}`thm-quadratic-cure-interval` brackets a distance by
$\lambda_{\max}(H)$, which the penalty does not compute, and for the quadratic model alone.""",
        ((QUADRATIC, "CURE, the regularizer"),),
        ("prop-quadratic-secant", "thm-quadratic-cure-interval"),
        LOG_GRID,
        "cure",
    ),
    Method(
        "Scorpio",
        "Scorpio(epsilon=0.5)",
        "the quadratic model at a point of a walk",
        "the quadratic model, from below",
        r"""None from above. The walk climbs ({prf:ref}`thm-worst-monotone`) and its value is at
most the maximum of the quadratic model. With an $M$-Lipschitz Hessian
{prf:ref}`prop-quadratic-cubic` makes it a *lower* bound: in the $\ell_2$ ball the robust loss is
at least $\ell+R-\tfrac M6\eps^3$.""",
        ((WORST, "A walk of linear steps"),),
        ("thm-worst-monotone", "prop-quadratic-cubic", "prop-worst-difference"),
        RADIUS,
        "scorpio",
    ),
    Method(
        "KrylovAdversary",
        "KrylovAdversary(epsilon=0.5, steps=2)",
        "the quadratic model at its worst in a Krylov space",
        "robust loss, for small radii",
        r"""For $\ell_2$, $\tau=\eps\norm{H}/\norm{g}<\tfrac12$ and an $M$-Lipschitz Hessian,
{prf:ref}`thm-worst-orders` and {prf:ref}`prop-quadratic-cubic` add up to
$\max\ell\le\ell+R+\eps\norm{g}(1+2\tau)\big(\tfrac{\tau}{1-\tau}\big)^{2k}+\tfrac M6\eps^3$ after
$k$ steps. For large radii the hard case of {prf:ref}`thm-worst-krylov` stands in the way.""",
        ((WORST, "The adversary that lives in a Krylov space"),),
        ("thm-worst-krylov", "thm-worst-orders", "prop-quadratic-cubic"),
        RADIUS,
        "krylov-2",
    ),
    Method(
        "Llr",
        "Llr(epsilon=0.1)",
        "the largest error of the tangent plane",
        "robust loss, with the gradient's norm",
        r"""If the inner search finds the largest error $\gamma$ of the tangent plane, then for
every $\delta$ of the ball $\ell(x+\delta)\le\ell+\norm{g}_*\eps+\gamma$ by the triangle
inequality, and $\gamma\le R$. So $\max\ell\le\ell+\eps\norm{g}_*+R$. Without $\norm{g}_*$, or
without the maximum, nothing follows: the term $\vert g^\top\delta\vert$ in $R$ is the slope
towards the worst *error*, not the worst slope.""",
        ((WORST, "One Hessian, four kernels"),),
        ("thm-worst-kernels",),
        LOG_GRID,
        "llr",
    ),
    Method(
        "Elle",
        "Elle(epsilon=0.1)",
        "error of interpolation between two random points",
        "nothing by itself",
        r"""None follows. Its kernel ({prf:ref}`thm-worst-kernels`) weighs the curvature along a
random segment; a slope is invisible to it.""",
        ((WORST, "One Hessian, four kernels"),),
        ("thm-worst-kernels",),
        SQUARE,
    ),
    Method(
        "GradAlign",
        "GradAlign(epsilon=0.1)",
        "turning of the gradient, without its length",
        "nothing by itself",
        r"""None follows: a cosine has no scale. Added to the first two terms of the quadratic model
it is the third ({prf:ref}`thm-worst-expansion`), and there it is weighted by $\eps\norm{g}$.""",
        ((WORST, "The first three terms"),),
        ("thm-worst-kernels", "thm-worst-expansion"),
        LOG_GRID,
    ),
    Method(
        "Soar",
        "Soar(epsilon=0.1)",
        "slope and curvature in one matrix",
        "robust loss, with a cubic remainder",
        r"""In the mean over its Gaussian draw (`method="gaussian"`) it is at least
$\tfrac{\eps^2+1}2\norm{A_1}-\tfrac12$, which bounds the quadratic model's maximum
({prf:ref}`thm-worst-homogeneous`). With an $M$-Lipschitz Hessian {prf:ref}`prop-quadratic-cubic`
gives $\max\ell\le\ell+\mathbb E R+\tfrac M6\eps^3$ over the $\ell_2$ ball. A single draw, or few
Lanczos steps, may lie below.""",
        ((WORST, "Homogenization and its constant"),),
        ("thm-worst-homogeneous", "prop-quadratic-cubic"),
        RADIUS,
        "soar",
    ),
    Method(
        "SpectralTarget",
        'SpectralTarget("jacobian", "symmetry")',
        "distance of a matrix from a structure",
        "nothing by itself",
        r"""The target `"zero"` on a classifier's logits is
[`JacobianSpectral`](#jacobianspectral), with its bound. For symmetry and diagonality none
follows: they say how a matrix is built, not how large it is ({prf:ref}`thm-target-diagonal`).""",
        ((TARGET, "What a target must offer"),),
        ("prop-target-products", "thm-target-diagonal"),
        "a grid of factors of four",
    ),
)

OBJECTIVES = (
    Method(
        "Plain",
        "Plain()",
        "the loss at the point",
        "nothing by itself",
        r"""None follows: the loss at a point is the weakest of all attacks, a lower bound of the
robust loss ({prf:ref}`prop-threat-two-sides`), and says nothing about the neighbors.""",
        ((THREATS, "Who attacks, and with what"),),
        ("prop-threat-two-sides",),
        strength=NOTHING,
        study="plain",
    ),
    Method(
        "GaussianNoise",
        "GaussianNoise(sigma=0.25)",
        "the loss at one random neighbor",
        "nothing by itself",
        r"""None follows for the network itself. For small noise the mean rise is half the variance
times the trace of $H$ ({prf:ref}`prop-smoothing-heat`). What noise certifies is the *smoothed*
classifier, the network's vote over noisy copies of its input: {prf:ref}`cor-smoothing-radius`.""",
        ((SMOOTHING, "Noise is a trace"),),
        ("prop-smoothing-heat", "cor-smoothing-radius"),
        strength=NOTHING + "; choose `sigma`",
        study="noise",
    ),
    Method(
        "Fgsm",
        "Fgsm(epsilon=0.1)",
        "the loss one full step along the gradient",
        "robust loss, from below",
        r"""None from above: the attacked point is one of the ball, so its loss is a *lower* bound
of the worst ({prf:ref}`prop-threat-two-sides`); it is the worst where the loss falls with one
affine margin ({prf:ref}`thm-threat-fgsm`). To first order training on it is a gradient penalty
({prf:ref}`thm-one-linear-step`).""",
        ((THREATS, "One step"),),
        ("thm-threat-fgsm", "prop-threat-two-sides", "thm-one-linear-step"),
        NOTHING + "; choose `epsilon`",
    ),
    Method(
        "PgdTraining",
        "PgdTraining(epsilon=0.1)",
        "the loss where a search ends",
        "robust loss, from below",
        r"""None from above. What the search finds is a lower bound
({prf:ref}`prop-threat-two-sides`); with small enough steps it climbs
({prf:ref}`thm-threat-ascent`), and no number of evaluations excludes a spike between them
({prf:ref}`thm-evaluation-needle`).""",
        ((THREATS, "Climbing"),),
        ("thm-threat-ascent", "prop-threat-two-sides", "thm-evaluation-needle"),
        NOTHING + "; choose `epsilon`",
        "pgd",
    ),
    Method(
        "Trades",
        "Trades(epsilon=0.1, beta=6.0)",
        "the divergence where a search ends",
        "robust loss, if the search is exact",
        r"""Let $\kappa$ be the largest divergence $\mathrm{KL}(p(x)\,\Vert\,p(x'))$ in the ball.
By Pinsker's inequality no probability changes by more than $\sqrt{\kappa/2}$, so
$\max\ell\le-\log\big(p_y-\sqrt{\kappa/2}\big)$ where that is defined, and the class stays where
$p_y-\sqrt{\kappa/2}>\tfrac12$. The search finds a lower bound of $\kappa$; to second order
$\kappa$ is a spectral norm ({prf:ref}`thm-smoothing-trades`).""",
        ((SMOOTHING, "An adversary is an operator norm"),),
        ("thm-smoothing-trades",),
        NOTHING + "; `beta` weighs the two parts, choose `epsilon`",
        "trades",
    ),
)

METHODS = (*PENALTIES, *OBJECTIVES)

# What is public besides: the signatures' parts, and one step that is useful alone.
PARTS = {
    "Penalty": "the base class of the penalties of a classifier's loss",
    "Objective": "the base class of the objectives",
    "Terms": "what a penalty or an objective returns: `loss` and `penalty`, one value each example",
    "FieldTerms": "what `SpectralTarget` returns: the function's `output` and the `penalty`",
    "Products": "a target matrix of your own, by its two products",
    "KrylovStep": "what `krylov_step` returns",
    "krylov_step": "the maximizer inside `KrylovAdversary`, for any symmetric operator",
}

# Which statement links which methods, and how.
LINKS = {
    "thm-one-linear-step": (("Fgsm", "InputGradient"), "one linear step is a gradient penalty"),
    "thm-finite-difference": (
        ("GradientFiniteDifference", "InputGradient"),
        "a difference is the gradient and half a step of curvature",
    ),
    "cor-one-family": (
        ("GradientFiniteDifference", "InputGradient", "Fgsm"),
        "one family, from the penalty to the attack",
    ),
    "thm-jacobian-surrogates": (
        ("InputGradient", "JacobianFrobenius", "JacobianSpectral", "JacobianEntrywise"),
        "the Jacobian's norms bound the gradient's",
    ),
    "prop-jacobian-norms": (
        ("JacobianFrobenius", "JacobianSpectral", "JacobianEntrywise", "CrossLipschitz"),
        "the norms of one matrix, in order",
    ),
    "thm-hessian-loss": (
        ("HessianNorm", "InputGradient", "SecondOrderModel"),
        "slope and curvature together bound the loss",
    ),
    "prop-quadratic-secant": (
        ("Cure", "HessianNorm"),
        "CURE is an averaged Hessian in one direction",
    ),
    "prop-worst-difference": (
        ("Scorpio", "PgdTraining"),
        "with difference products the walk is projected gradient ascent",
    ),
    "thm-worst-certificate": (
        ("SecondOrderModel", "KrylovAdversary", "Scorpio"),
        "the quadratic model's maximum lies between",
    ),
    "thm-worst-krylov": (
        ("KrylovAdversary", "SecondOrderModel", "InputGradient"),
        "one step is the gradient penalty with curvature along it",
    ),
    "thm-worst-expansion": (
        ("KrylovAdversary", "InputGradient", "GradAlign"),
        "gradient, curvature along it and alignment are three terms of one expansion",
    ),
    "thm-worst-homogeneous": (("Soar", "KrylovAdversary"), "one matrix bounds the quadratic model"),
    "thm-worst-kernels": (("Cure", "Llr", "Elle", "GradAlign"), "one Hessian, four kernels"),
    "thm-jacobian-spectral-derivative": (
        ("JacobianSpectral", "SpectralTarget"),
        "a singular direction, found and held",
    ),
    "thm-threat-dual": (("Fgsm", "InputGradient"), "the worst linear change is the dual norm"),
    "prop-smoothing-heat": (
        ("GaussianNoise", "HessianNorm"),
        "noise sees the trace of the Hessian, the norm its largest eigenvalue",
    ),
    "prop-smoothing-disagreement": (
        ("GaussianNoise", "CrossLipschitz", "JacobianFrobenius"),
        "the trace is the disagreement of the classes' slopes",
    ),
    "thm-smoothing-trades": (
        ("Trades", "JacobianSpectral"),
        "the divergence is a weighted spectral norm of the Jacobian",
    ),
    "thm-one-matrix": (
        ("InputGradient", "HessianNorm", "CrossLipschitz", "Cure"),
        "on rectifier networks all are functions of the centered Jacobian",
    ),
}


class Work(TorchDispatchMode):
    """Counts multiplications and additions of matrix products and convolutions."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def made(call: str) -> Any:
    """The method that `call` writes."""
    return eval(call, {**vars(penalties), **vars(objectives)})


@cache
def arithmetic(call: str) -> float:
    """Operations of one training step on the study's network, in plain steps."""
    model = SmallCNN()
    weights = list(model.parameters())
    x, y = torch.rand(2, 1, 28, 28), torch.arange(2)

    def operations(method: Any) -> int:
        with Work() as work:
            terms = method(model, x, y, generator=torch.Generator().manual_seed(0))
            (terms.loss + terms.penalty).mean().backward(inputs=weights)
        return work.total

    return operations(made(call)) / operations(objectives.Plain())


def measured(method: Method) -> Any:
    """What was measured of a method's training step: a row of the table `steps`."""
    steps = results("steps").set_index("call")
    if method.call not in steps.index:
        raise ValueError(f"requires the cost of {method.call}: run experiments/costs.py.")
    return steps.loc[method.call]


def seconds(method: Method) -> str:
    """Time of a training step in plain steps."""
    return f"{measured(method).relative:.1f}" if trains_classifiers(method) else "-"


def memory(method: Method) -> str:
    """What the tensors of a training step take at once, in plain steps."""
    if not trains_classifiers(method):
        return "-"
    return f"{measured(method).peak_bytes / measured(method).plain_peak_bytes:.1f}"


def trains_classifiers(method: Method) -> bool:
    """Whether a step of it is a classifier's training step."""
    return method.name != "SpectralTarget"


def work(method: Method) -> str:
    """The arithmetic of a method's step."""
    return f"{arithmetic(method.call):.1f}" if trains_classifiers(method) else "-"


@cache
def headings(file: str) -> list[str]:
    """The headings of a chapter."""
    lines = "\n".join(cell.source for cell in nb.cells(ROOT / f"{file}.ipynb", "markdown"))
    return [line.lstrip("# ") for line in lines.splitlines() if line.startswith("#")]


@cache
def stated() -> dict[str, str]:
    """The label of every numbered statement in the table of contents, and its chapter."""
    kinds = [f"prf:{kind}" for kind in nb.STATEMENTS]
    return {
        d.options["label"]: file
        for file in nb.toc_files()
        if (ROOT / f"{file}.ipynb").exists()
        for d in nb.directives(ROOT / f"{file}.ipynb")
        if d.name in kinds
    }


def anchor(heading: str) -> str:
    """The address that MyST gives a heading."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def source(method: Method) -> str:
    """A link to the section that derives a method: the first whose chapter is in the book."""
    file, heading = next(place for place in method.derived if place[0] in nb.toc_files())
    title = headings(file)[0]
    where = f"../{file.removeprefix('book/')}.ipynb" + (f"#{anchor(heading)}" if heading else "")
    return f"[{title}: {heading}]({where})" if heading else f"[{title}]({where})"


def checks(method: Method, printed: Callable[[Path], dict[str, Any]]) -> str:
    """What the checks of a method's statements printed."""
    told = []
    for label in method.statements:
        record = printed(ROOT / f"{stated()[label]}.ipynb")[label]
        told.append(f"{{prf:ref}}`{label}`, {record.points} points")
    return "; ".join(told)


@cache
def fooled(name: str) -> list[tuple[str, str]]:
    """The families that show what a method's value does not bound, as lines of a table."""
    found = []
    for family_name, methods in counterexamples.FOOLED.items():
        family = counterexamples.FAMILIES[family_name]
        for method in methods:
            if type(method).__name__ == name:
                first, second = (
                    counterexamples.run(method, family, free)
                    for free in (family.first, family.second)
                )
                line = (
                    f"{family.free} {family.first:g} and {family.second:g}: it sees "
                    f"{digits(first.value)} and {digits(second.value)}, the loss rises by "
                    f"{digits(first.rise)} and {digits(second.rise)}"
                )
                found.append((family_name, line))
    return found


def digits(value: float) -> str:
    """Three digits; what is zero but for rounding is zero."""
    return "0" if abs(value) < 1e-12 else f"{value:.3g}"


INTRO = """---
description: What each penalty and objective bounds, what it does not, and what it costs.
---
# What each method bounds

For every penalty and every objective: where it is derived, which statement bounds the robust loss
or a radius by it, what does *not* follow, how that is checked, and what a training step costs.

A penalty is computed at data points. A bound of the robust loss speaks of a whole ball. No method
here closes that gap by itself: where a statement helps, it asks for a supremum over the ball or for
a second quantity, and the entry names it. Where nothing follows, a family of classifiers shows it:
along its free number the loss inside the unit ball rises as far as you like, or stays up, and what
the method sees does not grow. So no function of that value bounds the rise.

What a training step costs is given in plain steps, on the study's convolutional network and 64
images: *arithmetic* counts the operations (forward, penalty, backward) and is the same on every
machine; *time* is measured on one core, each step beside a plain one; *memory* is the most that the
tensors of one step take at once, over the same for a plain step.
"""

FAMILIES = r"""## The classifiers that fool them

Every positive function $L$ of the input is the cross-entropy of a two-class network: with logits
$(m,0)$, $m=-\log(e^L-1)$, the loss of class 0 is $\log(1+e^{-m})=L$. So a loss can be drawn first
and its classifier written down after. The data point is 0, the ball has radius 1, the class is 0.

**Plateau.** Around 0 the loss is constant, so every derivative there is that of a constant, and so
is every comparison with a point nearer than 0.005. The height beyond is free.

**Slope.** A plane has a constant gradient: its Hessian, the change of its gradient, its error of
interpolation are zero, and the gradient does not turn. The rise is the steepness.

**Wave.** A loss of period 1 has the same value and the same gradient at 0 and one step on. Between
them it rises to $e^h$.

**Ridge.** At 0 the classes 1 and 2 have equal logits, $p_1=p_2$. With $J$'s rows $(0,1)$,
$(a,0)$, $(-a,0)$ the gradient $J^\top(p-e_0)=(a(p_1-p_2),\,p_0-1)$ has no first component, and
$He_2=J^\top S\,e_0=(a(S_{10}-S_{20}),\,S_{00})=(0,S_{00})$ neither. So what starts at the
gradient and goes on by products with $H$, or by gradients at points reached that way, stays on
the second axis, on which $a$ never shows. Along the first axis the loss grows like $a$. A random
start, all rows of the Jacobian, or `method="gram"` would see it.

**Needle.** Outside a spike of half-width $1/(10h^3)$ the loss is constant. A search that starts
outside finds no gradient and stays; a mean over random points meets the spike so rarely that it
falls while the height $h$ grows.

**Tilt.** The error of the tangent plane at 0 is $b\,x_2^2$. In the $\ell_2$ ball it is largest at
$(0,\pm1)$, where the slope along $x_1$ does not show: the value is $b$, the rise 0.9.

**Rays.** The Jacobian is $aI$: symmetric and diagonal for every $a$.
"""


def code() -> str:
    """The families as they are run."""
    names = ("classifier", "plateau", "slope", "wave", "ridge", "needle", "tilt", "rays")
    parts = [inspect.getsource(getattr(counterexamples, name)).rstrip() for name in names]
    return "```python\nimport torch\n\n\n" + "\n\n\n".join(parts) + "\n```\n"


def entry(method: Method, module: str, printed: Callable[[Path], dict[str, Any]]) -> str:
    """The section of one method."""
    lines = [
        f"### `{method.name}`",
        f"```python\nfrom curvlab.{module} import {method.name}\n```",
        f"**Sees** {method.sees}. **Derived in** {source(method)}. "
        f"**Signature:** [`{method.name}`](api.md#{module}{method.name.lower()}).",
        f"**Bound.** {method.text}",
    ]
    if shown := fooled(method.name):
        lines.append(
            "**What does not follow.** No function of its value at the point bounds the rise."
        )
        lines.append(
            "\n".join(
                f"- [{name}](#the-classifiers-that-fool-them): {line}." for name, line in shown
            )
        )
    told = checks(method, printed)
    tested = "counter-examples run in `tests/book/test_methods.py`" if shown else ""
    lines.append(f"**Checked.** {'; '.join(part for part in (told, tested) if part)}.")
    lines.append(
        f"**Cost of a step.** Arithmetic: {work(method)} plain steps. Time: {seconds(method)}. "
        f"Memory: {memory(method)}."
    )
    linked = [
        f"{{prf:ref}}`{label}` ({how})"
        for label, (who, how) in LINKS.items()
        if method.name in who and label in stated()
    ]
    if linked:
        lines.append(f"**Linked by** {'; '.join(linked)}.")
    return "\n\n".join(lines)


def home(name: str) -> str:
    """The module of a public name."""
    return "penalties" if hasattr(penalties, name) else "objectives"


def page(printed: Callable[[Path], dict[str, Any]]) -> str:
    """`book/reference/methods`."""
    head = "| method | its value bounds | arithmetic | time | memory |\n|---|---|---:|---:|---:|"
    rows = [
        f"| [`{m.name}`](#{m.name.lower()}) | {m.bounds} | {work(m)} | {seconds(m)} | {memory(m)} |"
        for m in METHODS
    ]
    parts = "\n".join(
        f"- [`{name}`](api.md#{home(name)}{name.lower()}): {text}." for name, text in PARTS.items()
    )
    sections = [
        INTRO.rstrip(),
        "\n".join([head, *rows]),
        FAMILIES.rstrip(),
        code().rstrip(),
        "## Penalties",
        *(entry(m, "penalties", printed) for m in PENALTIES),
        "## Objectives",
        *(entry(m, "objectives", printed) for m in OBJECTIVES),
        "## Parts",
        parts,
    ]
    return "\n\n".join(sections) + "\n"
