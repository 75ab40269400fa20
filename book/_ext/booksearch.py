"""The search finds statements by name and leads to them."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains import ObjType
from sphinx_proof.domain import ProofDomain
from sphinx_proof.proof_type import PROOF_TYPES


def name_statements(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the title of each statement, which sphinx-proof forgets."""
    for node in doctree.findall(nodes.Admonition):
        if node.get("realtype"):
            # A dot would make the search read the name as a dotted Python path.
            title = re.sub(r"[.$\\{}]", "", node["title"]).strip(" ()")
            app.env.proof_list[node["label"]]["title"] = title


def objects(domain: ProofDomain) -> Iterator[tuple[str, str, str, str, str, int]]:
    """Return what the search index should hold, in Sphinx's form for a domain's objects."""
    for label, statement in getattr(domain.env, "proof_list", {}).items():
        if title := statement.get("title"):
            yield title, title, statement["realtype"], statement["docname"], label, 1


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    ProofDomain.get_objects = objects
    ProofDomain.get_type_name = lambda self, kind, primary=False: kind.lname
    ProofDomain.object_types = {kind: ObjType(kind, "ref") for kind in PROOF_TYPES}
    app.connect("doctree-read", name_statements)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
