"""The figures of the chapter on penalties of the Jacobian."""

from typing import get_args

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curvlab.calculus import jacobian_operator
from curvlab.figures import style
from curvlab.penalties.shared import Law, probe
from curvlab.spectrum import power_iteration, top_eigenpair

LAWS: tuple[Law, ...] = get_args(Law)


def estimates(gram: Tensor, law: Law, draws: int, seed: int = 0) -> Tensor:
    """One-probe estimates `z'Az` of the trace of `A`, `(draws,)`.

    >>> estimates(torch.eye(3), "sphere", 2).round()  # no spread at a multiple of the identity
    tensor([3., 3.])
    """
    like = gram.new_empty(draws, len(gram))
    z = probe(like, law, torch.Generator(gram.device).manual_seed(seed))
    return ((z @ gram) * z).sum(1)


def probes_lab(model: nn.Module, x: Tensor, device: torch.device) -> Figure:
    """Estimates of one image's Frobenius and spectral norms against the exact ones."""
    if len(x) != 1:
        raise ValueError(f"requires one image. Found {len(x)}.")
    weights = next(model.parameters())
    x = x.to(device, weights.dtype)
    gram = jacobian_operator(model.to(device), x).gram()[0].detach()
    total, top = float(gram.trace()), float(torch.linalg.eigvalsh(gram)[-1])
    figure, (image, spread, search) = plt.subplots(
        1, 3, figsize=(style.WIDTH, 2.7), width_ratios=(0.7, 1.4, 1.2)
    )
    style.show_image(image, x)
    image.set_title(f"seen as {int(model(x).argmax())}")
    looks = zip(LAWS, style.PALETTE, style.LINE_STYLES, strict=False)
    for law, color, line in looks:
        found = (estimates(gram, law, 1000) / total).clamp(max=3.99)
        *_, outline = spread.hist(
            found.tolist(), 32, range=(0, 4), histtype="step", color=color, label=law
        )
        plt.setp(outline, linestyle=line)  # matplotlib 3.10's hist takes a dash pattern for a list
    spread.axvline(1, color=style.INK, linewidth=1)
    spread.set(xlabel="one probe's estimate / squared Frobenius norm", yticks=[])
    spread.legend(fontsize=8)
    start = probe(gram.new_empty(50, len(gram)), "sphere", torch.Generator(device).manual_seed(1))
    products = list(range(1, 8))
    for name, method in (("power iteration", power_iteration), ("Lanczos", top_eigenpair)):
        pairs = [method(lambda v: v @ gram, start, k) for k in products]
        error = [float((1 - pair.value / top).median().clamp(min=1e-12)) for pair in pairs]
        search.semilogy(products, error, marker="o", markersize=3, label=name)
    search.set(xlabel="products", ylabel="relative error of $\\|J\\|^2$", ylim=(1e-12, 2))
    search.legend(fontsize=8)
    return figure
