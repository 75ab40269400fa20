"""What the tests of figures share: no window, no figure left open, two small networks."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch

from curvlab.networks import MLP


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return {s: MLP((6, 8, 3), beta=2.0) for s in (0.0, 1.0)}


@pytest.fixture
def examples():
    return torch.randn(60, 6, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 3
