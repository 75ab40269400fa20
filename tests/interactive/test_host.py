"""The host: self-contained, deterministic output, and the same module for a live kernel."""

import configparser
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rjsmin import jsmin

from curvlab.figures import style
from curvlab.interactive import digits, krylov_stepper, pack, pack_bytes, show, widget
from curvlab.interactive.host import LIBRARY, bundle, module, source
from curvlab.interactive.networks import arrive, travel
from curvlab.networks import MLP, SmallCNN

FIGURES = sorted(
    p.name.removesuffix(".js")
    for p in Path(krylov_stepper.__file__).parent.glob("*.js")
    if p.name not in LIBRARY
)


@pytest.fixture(scope="module")
def example():
    torch.manual_seed(0)
    model = MLP((9, 8, 3), "relu")
    return krylov_stepper.figure(model, torch.randn(1, 9), torch.tensor([1]), most=12)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_small_and_fetches_nothing(name):
    script = jsmin(source(f"{name}.js"))
    assert len(script.encode()) <= 8 * 1024
    for word in ("fetch(", "eval(", "Function(", "XMLHttpRequest", "http:", "https:", "import("):
        assert word not in script
    assert "import " not in module(name)
    assert bundle(name).count("export default {") == 1


def test_shared_code_is_small():
    assert len(jsmin(source("kit.js")).encode()) <= 10 * 1024
    assert len(jsmin(source("page.js")).encode()) <= 2 * 1024


def test_output_is_self_contained_and_repeats_itself(example):
    page = example._repr_html_()
    assert page == example._repr_html_()
    assert not re.search(r"""(src|href)=["'](?!data:|\$)""", page)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<img ") == 1
    assert 'alt="Left: Ritz values' in page
    bundle_ = example._repr_mimebundle_()
    assert set(bundle_) == {"text/html", "text/plain"}
    assert "0x" not in bundle_["text/plain"]


def test_equal_states_have_equal_keys_and_others_do_not(example):
    image = example.image
    same = show("krylov-stepper", example.state, fallback=image, alt="x", values=example.values)
    other = show("krylov-stepper", example.state, fallback=image, alt="x", values={"steps": 3})
    assert same.key == example.key
    assert other.key != example.key


def test_state_cannot_leave_its_script_element():
    figure = show(
        "frames", {"words": "</script><b>"}, fallback=b"\x89PNG" + bytes(24), alt="a & <b>"
    )
    assert "</script><b>" not in figure._repr_html_()
    assert 'alt="a &amp; &lt;b&gt;"' in figure._repr_html_()
    assert json.loads(figure.payload)["state"]["words"] == "</script><b>"


def test_the_sanitizer_of_nbval_leaves_the_state_to_be_compared(example):
    rules = configparser.ConfigParser(interpolation=None)
    rules.read(Path(__file__).parents[1] / "book/sanitize.cfg")
    page = example._repr_html_()
    for name in rules.sections():
        page = re.sub(rules[name]["regex"], rules[name]["replace"], page)
    assert example.payload in page
    assert "function" not in page
    assert "base64," not in page.replace(example.payload, "")
    assert len(page) < len(example.payload) + 2000


def test_clear_errors():
    with pytest.raises(ValueError, match=r"requires a figure among .*krylov-stepper.*Found 'none'"):
        show("none", {}, fallback=b"", alt="x")
    with pytest.raises(ValueError, match="requires an alt text"):
        show("frames", {}, fallback=b"", alt=" ")
    with pytest.raises(ValueError, match="finite float16"):
        pack(np.array([1e6]))
    with pytest.raises(ValueError, match="finite float16"):
        pack(np.array([np.nan]))
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        pack_bytes(np.array([1.5]))
    with pytest.raises(ValueError, match="JSON compliant"):
        _ = show("frames", {"x": float("nan")}, fallback=b"", alt="x").payload
    with pytest.raises(ValueError, match="requires at most 25000 weights"):
        travel(MLP((784, 64, 10)))
    with pytest.raises(ValueError, match="requires linear layers"):
        travel(SmallCNN())
    with pytest.raises(ValueError, match="requires 2 to 256 colors"):
        style.fig_to_png(plt.Figure(), colors=1)


def test_a_network_arrives_as_it_left():
    torch.manual_seed(0)
    model = MLP((5, 6, 3), "softplus", beta=4.0)
    x = torch.randn(7, 5)
    there = arrive(travel(model))
    assert torch.allclose(there(x.double()).float(), model(x), atol=5e-3)
    assert travel(there) == travel(model)


def test_the_module_runs_under_anywidget(example):
    live = widget(example)
    assert live.values == dict(example.values)
    assert live.state == dict(example.state)
    assert "export default {" in live._esm
    assert "from " not in re.sub(r"\.from\(|fromX|fromY|fromHalf", "", live._esm).split("render")[0]


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e300, 1e300, allow_subnormal=False), st.integers(1, 6))
def test_digits_are_within_half_a_unit(x, n):
    text = digits(x, n).replace("−", "-")
    mantissa, _, power = text.partition("·10")
    exponent = power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")) or "0"
    value = float(f"{mantissa}e{exponent}")
    if x == 0 or abs(x) >= 10**n:
        assert value == pytest.approx(x, rel=10.0 ** (1 - n))
    else:
        assert value == pytest.approx(x, rel=0.5000001 * 10.0 ** (1 - n))
