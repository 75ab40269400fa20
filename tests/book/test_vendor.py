"""What the site carries of others' work is what the manifest says, licences included."""

import hashlib
import json
from pathlib import Path

import notebooks as nb
import pytest
import yaml
from bookfonts import characters, cut
from fontTools.ttLib import TTFont
from sphinxcontrib import katex

VENDOR = nb.ROOT / "book/assets/vendor"
PACKAGES = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
FOLDERS = {folder.name for folder in VENDOR.iterdir() if folder.is_dir()}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["package"])
def test_files_are_the_manifests(package: dict) -> None:
    folder = VENDOR / package["package"].removeprefix("@fontsource/")
    assert package["license"] in ("MIT", "OFL-1.1")
    assert "LICENSE" in package["files"]
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == set(package["files"])
    for name, told in package["files"].items():
        content = (folder / name).read_bytes()
        assert len(content) == told["bytes"]
        assert hashlib.sha256(content).hexdigest() == told["sha256"]


def test_every_vendored_folder_is_in_the_manifest() -> None:
    assert {package["package"].removeprefix("@fontsource/") for package in PACKAGES} == FOLDERS


def test_math_styles_match_the_renderer() -> None:
    versions = {package["package"]: package["version"] for package in PACKAGES}
    assert versions["katex"] == katex.katex_version


def test_site_asks_no_other_host() -> None:
    config = yaml.safe_load((nb.ROOT / "_config.yml").read_text(encoding="utf-8"))
    told = config["sphinx"]["config"]
    assert told["katex_css_path"].startswith("vendor/")
    assert told["nb_ipywidgets_js"] == {}
    for name in ("book.css", "fonts.css", "book.js", "theme.js"):
        text = (nb.ROOT / "book/assets" / name).read_text(encoding="utf-8")
        assert "//cdn" not in text
        assert "http" not in text


def test_fonts_are_cut_to_what_is_used(tmp_path: Path) -> None:
    font = VENDOR / "source-serif-4/source-serif-4-latin-400-normal.woff2"
    smaller = tmp_path / font.name
    smaller.write_bytes(font.read_bytes())
    cut(smaller, "aé")
    assert smaller.stat().st_size < font.stat().st_size / 4
    with TTFont(smaller) as font:
        assert set(font.getBestCmap()) == {ord("a"), ord("é")}


def test_every_character_of_a_page_is_kept(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>&lambda; ≼ \ue020=</p>", encoding="utf-8")
    (tmp_path / "searchindex.js").write_text(r'"\u03c9"', encoding="utf-8")
    assert set("λ≼ω\ue020") <= set(characters(tmp_path))
