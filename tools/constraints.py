"""Write constraints.txt from what is installed: `make constraints`, after editing requirements."""

import re
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "constraints.txt"
HEADER = """\
# Every package that the environment ends up with, as `pip freeze` saw it. Both requirements files
# read it, so that no transitive dependency moves by itself. Refresh: `make constraints`.
"""
# PyTorch pins NVIDIA's packages itself, and only on Linux.
LEFT_OUT = re.compile(r"(?:nvidia|cuda|triton|curvlab)", re.IGNORECASE)


def main() -> None:
    """Freeze, without our own package and without what PyTorch pins."""
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [line for line in frozen.splitlines() if "==" in line and not LEFT_OUT.match(line)]
    TARGET.write_text(HEADER + "\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
