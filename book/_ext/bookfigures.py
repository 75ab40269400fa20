"""What live figures carry inside a notebook becomes files beside the page, fetched when needed.

A notebook output must hold everything; a page need not. Pictures move to `_images` and load when
they come near, scripts that figures share are fetched once for the whole site, and a figure's
state is fetched when the figure starts. Classic scripts and relative addresses work from a folder
as well as from a server. `curvlab.interactive` lists the markers.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PICTURE = re.compile(r'(<img\b[^>]*?\bsrc=")data:image/(png|jpeg|webp);base64,([^"]+)(")')
SHARED = re.compile(r'<script data-curvlab-shared="([\w-]+)">(.*?)</script>', re.DOTALL)
STATE = re.compile(
    r'<script type="application/json" data-curvlab-state="([\w-]+)">(.*?)</script>', re.DOTALL
)
IMAGES, SCRIPTS = "_images", "_static/figures"


def save(folder: Path, name: str, content: bytes) -> None:
    """Write a file once."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        (folder / name).write_bytes(content)


def to_files(body: str, site: Path, root: str) -> str:
    """Move what a page's figures carry to files; `root` leads from the page to the site."""

    def picture(match: re.Match[str]) -> str:
        before, kind, data, after = match.groups()
        content = base64.b64decode(data)
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
        save(site / IMAGES, name, content)
        return f"{before}{root}{IMAGES}/{name}{after}"

    def shared(match: re.Match[str]) -> str:
        name, script = match.groups()
        save(site / SCRIPTS, f"{name}.js", script.encode())
        return f'<script data-curvlab-shared="{name}" src="{root}{SCRIPTS}/{name}.js"></script>'

    def state(match: re.Match[str]) -> str:
        key, held = match.groups()
        save(site / SCRIPTS, f"{key}.js", f'curvlab.states["{key}"] = {held};'.encode())
        source = f'data-src="{root}{SCRIPTS}/{key}.js"'
        return f'<script type="application/json" data-curvlab-state="{key}" {source}></script>'

    for pattern, replace in ((PICTURE, picture), (SHARED, shared), (STATE, state)):
        body = pattern.sub(replace, body)
    return body


def move(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Rewrite the body of a page."""
    if "body" in context:
        root = "../" * pagename.count("/")
        context["body"] = to_files(context["body"], Path(app.outdir), root)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", move)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
