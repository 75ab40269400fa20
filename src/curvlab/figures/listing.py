"""The package's own code, shown where a chapter explains it."""

import inspect
import re
from collections.abc import Callable
from typing import Any

DOCSTRING = re.compile(r'\n +""".*?"""', re.DOTALL)


class Listing:
    """Source code as notebook output, highlighted wherever Markdown is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"

    def __repr__(self) -> str:
        return self.text


def listing(*things: Callable[..., Any] | type) -> Listing:
    """The code of functions and classes as it runs, without their first docstring.

    >>> print(listing(Listing.__repr__))
        def __repr__(self) -> str:
            return self.text
    """
    texts = [inspect.getsource(thing).rstrip() for thing in things]
    return Listing("\n\n\n".join(DOCSTRING.sub("", text, count=1) for text in texts))
