"""The tests and notebooks on the oldest and newest packages that pyproject.toml allows.

python tools/matrix.py              both
python tools/matrix.py oldest       every lower bound: torch 2.11, ipywidgets 7
python tools/matrix.py newest       what a fresh `pip install` brings today: torch, ipywidgets 8
"""

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
# What the tests import beside the package and its extras.
TESTS = (
    "pytest pytest-xdist hypothesis nbval ipykernel nbformat nbclient PyYAML pyautoattack rjsmin"
)
# The study's engine and the site have an environment of their own, and are no part of the package.
LEFT_OUT = "browser book js test_study.py test_slurm.py test_readme.py"


def allowed() -> list[Requirement]:
    """What the package requires, with its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    return [Requirement(text) for text in project["dependencies"] + extras]


def oldest(required: Requirement) -> str:
    """The first release line of the lower bound.

    >>> oldest(Requirement("torch>=2.11"))
    'torch==2.11.*'
    """
    (bound,) = (part.version for part in required.specifier if part.operator == ">=")
    return f"{required.name}=={bound}.*"


def environment(which: str) -> Path:
    """Make the environment where its list of packages has changed; return its Python."""
    folder = ROOT / f".venv-{which}"
    python, stamp = folder / "bin/python", folder / ".installed"
    packages = [oldest(each) if which == "oldest" else str(each) for each in allowed()]
    wanted = "\n".join(packages)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Installing the {which} packages (PyTorch is most of it) ...", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", *packages, *TESTS.split()], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", ROOT], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def main(names: list[str]) -> int:
    """Run everything in each environment; name those where something failed."""
    failed = []
    for which in names:
        python = environment(which)
        command = [python, "-m", "pytest", "-n", "2", "--dist=loadscope", "-ra"]
        command += [ROOT / "tests", ROOT / "src/curvlab", ROOT / "book", "--nbval"]
        command += ["--nbval-current-env", "--nbval-cell-timeout=300"]
        command += [f"--nbval-sanitize-with={ROOT / 'tests/book/sanitize.cfg'}"]
        command += [f"--ignore={ROOT / 'tests' / name}" for name in LEFT_OUT.split()]
        command += [f"--ignore={ROOT / 'book/_ext'}"]
        # an older or newer package may announce a change; that is not what is asked here
        command += ["--override-ini=filterwarnings=default"]
        variables = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        if subprocess.run([str(part) for part in command], env=variables).returncode:
            failed.append(which)
    for which in failed:
        print(f"FAILED with the {which} packages")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["oldest", "newest"]))
