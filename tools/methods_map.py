"""The map of all methods, from the same table as their pages: `book/reference/map`."""

import re

import methods
import notebooks as nb

from curvlab.interactive import Figure, regularizer_map
from curvlab.interactive.regularizer_map import Link, Regularizer

TOP = """---
description: One map of every regularizer in the book, what it bounds, its cost, and what links it.
---
# The map of the regularizers

Every penalty and every objective in one picture. The further right a mark stands, the more
arithmetic a training step takes; its shape says what the method's value bounds. Choose a method, or
press on its row, to see which statements link it with which others.
"""

TWIN = """## The same in words

*Arithmetic* and *time* are in plain steps. [What each method bounds](methods.md) has the entries
in full.
"""

# What each claim of `Method.bounds` amounts to on the map.
KINDS = {"over the ball": "ball", "from below": "below", "nothing": "none"}


def kind(method: methods.Method) -> str:
    """The mark of a method."""
    return next((k for words, k in KINDS.items() if words in method.bounds), "more")


def title(label: str) -> str:
    """The name of a statement."""
    file = methods.stated()[label]
    held = nb.directives(methods.ROOT / f"{file}.ipynb")
    return next(d.argument for d in held if d.options.get("label") == label)


def figure() -> Figure:
    """The live figure."""
    rows = [
        Regularizer(
            m.name,
            kind(m),
            m.sees,
            m.bounds,
            methods.arithmetic(m.call) if methods.trains_classifiers(m) else None,
            methods.seconds(m),
        )
        for m in methods.METHODS
    ]
    links = [
        Link(title(label), who, how)
        for label, (who, how) in methods.LINKS.items()
        if label in methods.stated()
    ]
    held = regularizer_map.state(rows, links)
    caption = (
        "Each row is a method; lines lead from the chosen one to those a statement links it with."
    )
    return regularizer_map.figure(held, values={"method": "KrylovAdversary"}, caption=caption)


def row(method: methods.Method) -> str:
    """One line of the table of methods."""
    name = f"[`{method.name}`](methods.md#{method.name.lower()})"
    cost = f"{methods.work(method)} | {methods.seconds(method)}"
    return f"| {name} | {method.sees} | {method.bounds} | {cost} |"


def link(label: str) -> str:
    """One line of the table of statements."""
    who, how = methods.LINKS[label]
    return f"| {{prf:ref}}`{label}` | {', '.join(who)} | {how} |"


def page() -> str:
    """`book/reference/map`."""
    live = re.sub(r"\n\s*\n", "\n", figure()._repr_html_())
    head = "| method | sees | its value bounds | arithmetic | time |\n|---|---|---|---:|---:|"
    table = "\n".join([head, *map(row, methods.METHODS)])
    labels = [label for label in methods.LINKS if label in methods.stated()]
    table += "\n\n| statement | links | how |\n|---|---|---|\n" + "\n".join(map(link, labels))
    return (
        "\n\n".join([TOP.rstrip(), f"````{{raw}} html\n{live}\n````", TWIN.rstrip(), table]) + "\n"
    )


def without_scripts(text: str) -> str:
    """The page without what moves with the code of every figure: scripts, pictures, their names."""
    text = re.sub(r"<script data-curvlab-shared.*?</script>", "", text, flags=re.DOTALL)
    text = re.sub(r'src="data:image/png;base64,[^"]*"( width="\d+" height="\d+")?', "", text)
    return re.sub(r'"regularizer-map-[0-9a-f]+"', "", text)
