"""Both sides of each pair on the page for users of other tools, and the numbers they give."""

import re
import sys

import notebooks as nb
import pytest
import torch
from torch import nn

PEERS = nb.ROOT / ".venv/peers"  # where `make bench` installs them, beside the environment
if PEERS.is_dir():
    sys.path.append(str(PEERS))

TEXT = (nb.ROOT / "book/reference/migration.md").read_text(encoding="utf-8")
BLOCK = r"```python\n([^`]*)```"
SETUP = re.search(BLOCK, TEXT, re.DOTALL)[1]
PAIRS = re.findall(
    rf"\*\*([^*]+)\*\*(?:(?!\*\*).)*?{BLOCK}\s+{BLOCK}\s+Agree to `([\d.e-]+)`", TEXT, re.DOTALL
)


def names():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x = torch.randn(12, 5, dtype=torch.float64)
    return {"model": model, "x": x, "y": torch.arange(12) % 3}


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def require(code):
    for peer in ("pyhessian", "curvlinops"):
        if peer in code:
            pytest.importorskip(peer, reason=f"requires {peer}: `make bench` installs it.")


def test_the_page_compares_what_it_says():
    assert len(PAIRS) == TEXT.count("Agree to `") == 7
    assert sum("pyhessian" in peer for _, peer, _, _ in PAIRS) == 4
    assert sum("curvlinops" in peer for _, peer, _, _ in PAIRS) == 3


@pytest.mark.parametrize(
    ("peer", "ours", "agree"),
    [pair[1:] for pair in PAIRS],
    ids=[f"{peer.split()[1]}: {what}" for what, peer, _, _ in PAIRS],
)
@pytest.mark.filterwarnings("ignore")
def test_both_sides_give_the_same_number(peer, ours, agree):
    require(peer)
    held = names()
    exec(SETUP, held)
    exec(peer, held)
    for p in held["model"].parameters():
        p.grad = None
        p.requires_grad_(True)
    exec(SETUP, held)
    exec(ours, held)
    found, truth = (torch.as_tensor(held[k]).detach().flatten() for k in ("ours", "peer"))
    assert found.shape == truth.shape
    assert float((found - truth).abs().max() / truth.abs().max()) <= float(agree)


@pytest.mark.filterwarnings("ignore")
def test_pyhessian_fails_where_the_page_says_so():
    hessian = pytest.importorskip("pyhessian", reason="requires pyhessian.").hessian
    held = names()
    sample = held["x"], held["y"]

    def tool():
        return hessian(held["model"], nn.CrossEntropyLoss(), data=sample, cuda=False)

    def largest(tool):
        return tool.eigenvalues(maxIter=1000, tol=1e-9)[0][0]

    tool()
    doubled = largest(tool())
    held["model"].zero_grad()
    assert doubled == pytest.approx(2 * largest(tool()), rel=1e-3)
    with pytest.raises(RuntimeError, match="eig"):
        tool().density(iter=5)


def blocks(*words):
    found = [b for b in re.findall(BLOCK, TEXT) if any(word in b for word in words)]
    assert len(found) == len(words)
    return found


def test_the_density_on_the_page_runs():
    held = names()
    for code in [SETUP, *blocks("probes=10,")]:
        exec(code, held)
    assert float(held["weights"].sum()) == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")
def test_both_densities_end_at_the_largest_eigenvalue():
    held = names()
    code = blocks("ncv=30", "probes=2,")
    require(code[0])
    for block in [SETUP, *code]:
        exec(block, held)
    largest = float(held["top_eigenpair"](held["operator"], held["operator"].gradient, 50).value)
    assert float(held["nodes"].max()) == pytest.approx(largest, rel=1e-6)
    assert largest < held["grid"].max() < 1.3 * largest
