"""Turns a figure's module, its state and its picture into notebook output."""

import base64
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import matplotlib.figure
import numpy as np
from torch import Tensor

from curvlab.figures.style import fig_to_png

State = Mapping[str, Any]

LIBRARY = ("numerics.js", "kit.js", "page.js")

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pack(array: Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as base64 of its float16 bytes: how weights and points travel in a page.

    >>> pack(np.array([[1.0, 2.0]]))
    {'f16': 'ADwAQA==', 'shape': [1, 2]}
    """
    numbers = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    with np.errstate(over="ignore"):
        half = numbers.astype("<f2")
    if not np.isfinite(half).all():
        raise ValueError(f"requires finite float16 values. Found {np.abs(numbers).max():g}.")
    return {"f16": base64.b64encode(half.tobytes()).decode(), "shape": list(half.shape)}


def pack_bytes(array: Tensor | np.ndarray[Any, Any]) -> dict[str, Any]:
    """Pixels in [0, 1] as base64 of one byte each.

    >>> pack_bytes(np.array([0.0, 1.0]))
    {'u8': 'AP8=', 'shape': [2]}
    """
    numbers = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() <= 1):
        raise ValueError(
            f"requires pixels in [0, 1]. Found {numbers.min():g} to {numbers.max():g}."
        )
    levels = np.rint(255 * numbers.astype(np.float64)).astype(np.uint8)
    return {"u8": base64.b64encode(levels.tobytes()).decode(), "shape": list(levels.shape)}


def unpack(packed: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """What the page computes with: float64 numbers from `pack` or `pack_bytes`.

    >>> unpack(pack(np.array([[1.0, 2.0]])))
    array([[1., 2.]])
    """
    if "u8" in packed:
        raw = np.frombuffer(base64.b64decode(packed["u8"]), dtype=np.uint8) / 255
    else:
        raw = np.frombuffer(base64.b64decode(packed["f16"]), dtype="<f2").astype(np.float64)
    return raw.reshape(packed["shape"])


def digits(x: float, n: int = 3) -> str:
    """A number with `n` significant digits, written as the figures write it.

    >>> digits(0.012345), digits(-1234.5), digits(1.5e-9, 2)
    ('0.0123', '−1235', '1.5·10⁻⁹')
    """
    if not np.isfinite(x):
        return "undefined" if np.isnan(x) else "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    exact = Decimal(float(x))
    exponent = exact.adjusted()
    rounded = exact.quantize(Decimal(1).scaleb(exponent - n + 1), ROUND_HALF_UP)
    exponent = rounded.adjusted()
    if -3 <= exponent < 5:
        places = max(0, n - 1 - exponent)
        written = f"{exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):f}"
    else:
        mantissa = rounded.scaleb(-exponent).quantize(Decimal(1).scaleb(1 - n), ROUND_HALF_UP)
        written = f"{mantissa}·10{str(exponent).translate(SUPERSCRIPTS)}"
    return written.replace("-", "−")


@cache
def source(name: str) -> str:
    """A file of this folder."""
    path = files("curvlab.interactive") / name
    if not path.is_file():
        scripts = {p.name for p in files("curvlab.interactive").iterdir() if p.name.endswith(".js")}
        known = sorted(script.removesuffix(".js") for script in scripts - set(LIBRARY))
        found = name.removesuffix(".js")
        raise ValueError(f"requires a figure among {', '.join(known)}. Found {found!r}.")
    return path.read_text(encoding="utf-8")


def compact(script: str) -> str:
    """A script without its comment lines and indentation: the form that travels.

    >>> compact("// why\\n  const a = 1;\\n")
    'const a = 1;'
    """
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _namespace(name: str) -> str:
    """A library file as one expression whose value holds its exports."""
    script = compact(source(f"{name}.js"))
    exports = re.findall(r"^export (?:function|const) (\w+)", script, re.MULTILINE)
    body = re.sub(r"^export ", "", script, flags=re.MULTILINE)
    return f"(() => {{\n{body}\nreturn {{ {', '.join(exports)} }};\n}})()"


@cache
def library() -> str:
    """Numerics and controls as one expression."""
    return f"({{ numerics: {_namespace('numerics')},\nkit: {_namespace('kit')} }})"


@cache
def module(name: str) -> str:
    """A figure's module with its imports taken from a variable `library`."""
    script = compact(source(f"{name}.js"))
    return re.sub(
        r'^import \{([^}]*)\} from "\./(\w+)\.js";',
        r"const {\1} = library.\2;",
        script,
        flags=re.MULTILINE,
    )


def bundle(name: str) -> str:
    """The figure as one ES module without imports: what anywidget runs."""
    return f"const library = {library()};\n{module(name)}\n"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _register(name: str, value: str) -> tuple[str, str]:
    """A script that stores a value once for a page, and the name under which it does."""
    at = f"{name}-{_digest(value)}"
    script = (
        '((c) => { "use strict"; '
        f'if (c.modules["{at}"]) return;\nc.modules["{at}"] = {value};\nc.run?.(); }})'
        "(globalThis.curvlab ??= { modules: {}, queue: [], states: {} });"
    )
    return at, f'<script data-curvlab-shared="{at}">{script}</script>'


@cache
def _scripts(name: str) -> tuple[str, str]:
    """The page's shared scripts for a figure, and the name of its module."""
    shared, library_script = _register("library", library())
    style = json.dumps(compact(source("curvlab.css")))
    install = re.sub(r"^export ", "", compact(source("page.js")), flags=re.MULTILINE)
    _, page_script = _register("page", f"(() => {{\n{install}\ninstall(c, {style});\n}})() ?? true")
    body = re.sub(r"^export default ", "return ", module(name), flags=re.MULTILINE)
    at, figure_script = _register(
        name, f'(() => {{\nconst library = c.modules["{shared}"];\n{body}\n}})()'
    )
    return library_script + "\n" + page_script + "\n" + figure_script, at


@dataclass(frozen=True)
class Figure:
    """A live figure as notebook output; its picture stands in wherever scripts do not run."""

    name: str
    state: State
    image: bytes
    alt: str
    caption: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    extra: str = ""

    @property
    def payload(self) -> str:
        """State and first setting as JSON that is safe inside a script element."""
        held = {"state": self.state, "values": self.values}
        text = json.dumps(held, separators=(",", ":"), sort_keys=True, allow_nan=False)
        return text.replace("<", "\\u003c")

    @property
    def key(self) -> str:
        """Names this figure in a page: equal figure and state, equal key."""
        return _digest(self.name, self.payload)

    def _repr_html_(self) -> str:
        scripts, at = _scripts(self.name)
        data = base64.b64encode(self.image).decode()
        width, height = (int.from_bytes(self.image[i : i + 4]) for i in (16, 20))
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure class="curvlab" data-curvlab="{self.key}" data-name="{self.name}">'
            f'<img src="data:image/png;base64,{data}" alt="{html.escape(self.alt)}" '
            f'width="{width}" height="{height}" loading="lazy" '
            f'style="max-width:100%;height:auto">{caption}{self.extra}</figure>\n'
            f'<script type="application/json" data-curvlab-state="{self.key}">'
            f"{self.payload}</script>\n{scripts}\n"
            f'<script data-curvlab-start="{self.key}">'
            f'((c) => {{ c.queue.push(["{self.key}", "{at}"]); c.run?.(); }})'
            "(globalThis.curvlab ??= { modules: {}, queue: [], states: {} });</script>"
        )

    def __repr__(self) -> str:
        return f"Figure {self.name}: {self.alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}


def show(
    name: str,
    state: State,
    *,
    fallback: matplotlib.figure.Figure | bytes,
    alt: str,
    caption: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> Figure:
    """The live figure `name` with its state, as output that needs no kernel.

    `fallback` is the picture for print, for viewers without scripts and until the figure starts.
    `values` are the first values of its controls, by name.
    """
    source(f"{name}.js")
    if not alt.strip():
        raise ValueError("requires an alt text that says what the figure shows. Found none.")
    image = fallback if isinstance(fallback, bytes) else fig_to_png(fallback)
    return Figure(name, state, image, alt, caption, dict(values or {}))


def widget(figure: Figure) -> Any:
    """The same module under anywidget: `.values` follows the reader's setting in the kernel."""
    import anywidget
    import traitlets

    class LiveFigure(anywidget.AnyWidget):
        _esm = bundle(figure.name)
        _css = source("curvlab.css")
        state = traitlets.Dict().tag(sync=True)
        values = traitlets.Dict().tag(sync=True)

    return LiveFigure(state=dict(figure.state), values=dict(figure.values))


_shown: Counter[str] = Counter()


def occurrence(key: str) -> str:
    """A name for the next object of this key in this process: the same after each restart."""
    _shown[key] += 1
    return f"{key}-{_shown[key]}"
