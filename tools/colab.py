"""Run the exported notebooks as Colab would: alone, on its package versions, install line included.

`make colab` makes an environment with the versions of tools/colab-constraints.txt, lets git answer
the repository's address from this clone, and compares every notebook's outputs as nbval does. Then
each live figure of these runs is opened alone, as Colab shows it, and the tests of the site's
figures try it in a browser. It installs what is committed: commit first.

python tools/colab.py               every notebook
python tools/colab.py margins ...   these
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book/_ext"))

import address  # noqa: E402

CONSTRAINTS = ROOT / "tools/colab-constraints.txt"
ENVIRONMENT = ROOT / ".venv-colab"
SAMPLE = "example/shape-of-robustness"


def environment() -> Path:
    """Make the environment once for each version of the constraints; return its Python."""
    python, stamp = ENVIRONMENT / "bin/python", ENVIRONMENT / ".installed"
    wanted = CONSTRAINTS.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    # Colab's Python is 3.13; where there is none, the newest found here stands in.
    chosen = shutil.which("python3.13")
    usable = chosen and subprocess.run([chosen, "-c", "import venv"], capture_output=True)
    print("Installing Colab's package versions (PyTorch is most of it) ...", flush=True)
    if chosen and usable and usable.returncode == 0:
        subprocess.run([chosen, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    else:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-r", CONSTRAINTS, "setuptools"], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def register_kernel(python: Path, folder: Path) -> None:
    """Let nbval, which runs in our environment, start that one's kernel."""
    spec = folder / "kernels/colab"
    spec.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    told = {"argv": command, "display_name": "Colab's versions", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(told), encoding="utf-8")


def try_figures(kept: Path) -> bool:
    """Say whether every live figure of the runs mounts, tells what Python computes, and moves."""
    test = ROOT / "tests/browser/test_figures_site.py"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(test)]
    variables = {**os.environ, "BOOK_SITE": str(kept)}
    return subprocess.run(command, cwd=ROOT, env=variables).returncode == 0


def main(names: list[str]) -> int:
    """Build, then run each exported notebook, or these, alone in an empty folder."""
    python = environment()
    repository = address.repository() or SAMPLE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = folder / "figures"
        register_kernel(python, folder / "jupyter")
        variables = {
            **os.environ,
            "BOOK_REPOSITORY": repository,
            "JUPYTER_PATH": str(folder / "jupyter"),
            "OMP_NUM_THREADS": "1",
            "KEPT_FIGURES": str(kept),
            # The address in the install line, answered by this clone.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": f"https://github.com/{repository}",
        }
        build = [sys.executable, str(ROOT / "tools/build_site.py"), str(folder / "site")]
        subprocess.run(build, env=variables, check=True, stdout=subprocess.DEVNULL)
        exported = folder / "site/_build/html/colab"
        (folder / "runtime").mkdir()
        shutil.copy(ROOT / "tools/keep_figures.py", folder / "runtime/conftest.py")
        failed: list[str] = []
        for notebook in sorted(exported.rglob("*.ipynb")):
            if names and notebook.stem not in names:
                continue
            alone = folder / "runtime" / notebook.stem
            alone.mkdir(parents=True)
            shutil.copy(notebook, alone)
            command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--nbval", "-q"]
            command += [f"--nbval-sanitize-with={ROOT / 'tests/book/sanitize.cfg'}"]
            command += ["--nbval-kernel-name=colab", "--nbval-cell-timeout=300", notebook.name]
            print(f"== {notebook.stem}", flush=True)
            if subprocess.run(command, cwd=alone, env=variables).returncode:
                failed.append(str(notebook.relative_to(exported)))
        if kept.exists() and not try_figures(kept):
            failed.append("live figures in a browser")
    for what in failed:
        print(f"FAILED {what}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
