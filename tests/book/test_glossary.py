"""The glossary: one sentence and one link for each term, in order; every link leads somewhere."""

import re

import methods
import notebooks as nb

TEXT = (nb.ROOT / "book/reference/glossary.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^(\S[^\n]*)\n: (.*?) \[([^\]]+)\]\(([^)]+)\)$", TEXT, re.MULTILINE)


def test_every_term_has_one_sentence_and_one_link():
    assert len(ENTRIES) == len(re.findall(r"^: ", TEXT, re.MULTILINE)) >= 40
    for term, sentence, _, _ in ENTRIES:
        assert sentence.endswith("."), term
        assert len(re.findall(r"[.!?](?:\s|$)", sentence)) == 1, term


def test_terms_are_in_order_and_named_once():
    terms = [term.lower() for term, *_ in ENTRIES]
    assert terms == sorted(set(terms))


def test_links_lead_to_headings_that_exist():
    for term, _, _, link in ENTRIES:
        path, _, anchor = link.partition("#")
        file = (nb.ROOT / "book/reference" / path).resolve().relative_to(nb.ROOT)
        assert str(file.with_suffix("")) in nb.toc_files(), term
        if anchor and file.suffix == ".ipynb":
            found = [methods.anchor(h) for h in methods.headings(str(file.with_suffix("")))]
            assert anchor in found, (term, link)
