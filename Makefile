# Each target names what it needs and calls one command; the logic is in tools/.
PYTHON ?= python3
# `make book OUT=/tmp/mine` builds elsewhere.
OUT ?= .
BUILD := $(OUT)/_build
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# One thread for each process: the printed numbers depend on it a little, the speed a lot.
export OMP_NUM_THREADS ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

SOURCES := _config.yml _toc.yml index.md tools/build_site.py $(shell find book -type f -not -path '*/.*' -not -path '*/__pycache__/*')

.DEFAULT_GOAL := book
.PHONY: help setup chapter book read lab test full notebooks colab matrix vendor bench experiments pdf lighthouse publish constraints clean FORCE

help:
	@sed -n 's/^| `\(make [a-z]*\)` | \(.*\) |$$/\1 | \2/p' README.md | tr -d '`' | awk -F ' [|] ' '{printf "%-17s %s\n", $$1, $$2}'

$(BIN)/python:
	@sh tools/venv.sh $(PYTHON) $(VENV)

$(VENV)/.site: requirements-site.txt constraints.txt | $(BIN)/python
	@echo "Installing what the site needs into $(VENV) ..."
	@$(PIP) install --quiet -r requirements-site.txt
	@touch $@

$(VENV)/.full: requirements.txt requirements-site.txt constraints.txt pyproject.toml | $(BIN)/python
	@echo "Installing everything into $(VENV) (PyTorch is most of it) ..."
	@$(PIP) install --quiet -r requirements.txt
	@$(PIP) install --quiet --no-deps --editable .
	@touch $(VENV)/.site $@

# Tools of the browser tests: their versions are in package-lock.json, Node comes from the wheel.
node_modules/.installed: package.json package-lock.json | $(VENV)/.full
	@echo "Installing the browser tests' own tools ..."
	@npm ci --ignore-scripts --loglevel=error
	@touch $@

$(BUILD)/.repository: FORCE
	@mkdir -p $(BUILD) && $(PYTHON) book/_ext/address.py --update $@

$(BUILD)/.built: $(SOURCES) $(VENV)/.site $(BUILD)/.repository
	@$(BIN)/python tools/build_site.py $(OUT)
	@touch $@

book: $(BUILD)/.built
	@echo "The book: $(abspath $(BUILD))/html/index.html"

read: book
	@echo "Serving on http://127.0.0.1:8000/ (Ctrl-C stops)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(BUILD)/html 8000

setup: $(VENV)/.full node_modules/.installed
	@$(BIN)/python tools/chromium.py
	@echo "Ready. 'make help' lists the commands."

lab: $(VENV)/.full
	@$(BIN)/jupyter lab

chapter: $(VENV)/.full node_modules/.installed
	@$(BIN)/python tools/chromium.py
	@$(BIN)/python tools/chapter.py $(CHAPTER)

test: $(VENV)/.full node_modules/.installed
	@$(BIN)/python tools/chromium.py
	@$(BIN)/python tools/check.py

# The page for users of other tools is compared with them where they are installed.
full: export CURVLAB_FULL = 1
full: $(VENV)/.peers test colab matrix pdf lighthouse

lighthouse: $(BUILD)/.built node_modules/.installed
	@$(BIN)/python tools/lighthouse.py $(OUT) $(PAGES)

notebooks: $(VENV)/.full
	@$(BIN)/python tools/notebooks.py $(NOTEBOOKS)
	@$(BIN)/python tools/ledgers.py

matrix: $(VENV)/.full
	@$(BIN)/python tools/matrix.py

colab: $(VENV)/.full
	@$(BIN)/python tools/colab.py

vendor: $(VENV)/.site
	@$(BIN)/python tools/vendor.py

# The peers stay in a folder of their own, out of everybody else's way.
$(VENV)/.peers: benchmarks/requirements-peers.txt $(VENV)/.full
	@$(PIP) install --quiet --no-deps --upgrade --target $(VENV)/peers -r $<
	@touch $@

bench: $(VENV)/.peers
	@PYTHONPATH=$(VENV)/peers $(BIN)/python benchmarks/bench.py
	@$(BIN)/python benchmarks/redraw.py

experiments: $(VENV)/.full
	@$(BIN)/snakemake --snakefile experiments/Snakefile --cores all --rerun-incomplete --config quick=$(if $(QUICK),1,0)

pdf: $(BUILD)/.built $(VENV)/.full
	@$(BIN)/python tools/pdf.py $(OUT)

publish: $(BUILD)/.built
	@$(BIN)/python tools/publish.py $(OUT)

constraints: $(VENV)/.full
	@$(BIN)/python tools/constraints.py

clean:
	@rm -rf $(BUILD)
