#!/bin/sh
# Create the virtual environment, or say in one sentence what is missing.
set -eu
python=$1 venv=$2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "This book requires Python 3.11 or newer. Found $("$python" --version 2>&1 || echo none): name another with 'make PYTHON=python3.12 ...'." >&2
    exit 1
fi
# Debian ships Python without ensurepip.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy python3-venv >/dev/null
    else
        echo "Python's venv module is incomplete here: install it first (Debian, Ubuntu: apt install python3-venv)." >&2
        exit 1
    fi
fi
echo "Creating $venv ..."
"$python" -m venv "$venv"
