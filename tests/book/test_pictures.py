"""Pictures get their size from their files while the site is built."""

from pathlib import Path

import pytest
from bookpages import mend, png_size, reserve
from PIL import Image


def test_a_picture_gets_the_size_of_its_file(tmp_path: Path) -> None:
    Image.new("RGB", (41, 7)).save(tmp_path / "dot.png")
    body = '<img alt="A dot" src="../../_images/dot.png"><img src="../x.png" width="3">'
    found = reserve(body, "book/part/page", {"_images/dot.png": tmp_path / "dot.png"})
    wanted = '<img width="41" height="7" alt="A dot" src="../../_images/dot.png">'
    assert found == body.replace('<img alt="A dot" src="../../_images/dot.png">', wanted)


def test_a_picture_with_a_caption_scrolls_by_itself() -> None:
    before, after = (
        '<figure class="align-default" id="fig-a">\n',
        "<figcaption>A</figcaption></figure>",
    )
    found = mend(f'{before}<img loading="lazy" alt="A" src="a.png" />{after}')
    box = '<div class="scroll picture"><img loading="lazy" alt="A" src="a.png" /></div>'
    assert found == before + box + after
    live = '<figure class="curvlab"><img loading="lazy" src="a.png"></figure>'
    assert mend(live) == live


def test_what_is_no_picture_of_the_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "not.png").write_bytes(b"GIF89a" + bytes(30))
    with pytest.raises(ValueError, match=r"requires a PNG\. Found .*GIF89a"):
        png_size(tmp_path / "not.png")
    with pytest.raises(ValueError, match=r"page requires pictures of the site's own\. Found far"):
        reserve('<img src="far.png">', "page", {})
