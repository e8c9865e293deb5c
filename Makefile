# Needs `python3` with venv, and make. Every target sets up .venv first; a second run installs nothing.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
BENCH := .venv-bench/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test lint slow soak bench figures docs clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

# The peers bring packages of their own (type stubs among them), so they get an environment of their own.
.venv-bench/installed: pyproject.toml constraints.txt
	test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	$(BENCH)/python -m pip install --quiet --upgrade pip
	$(BENCH)/python -m pip install --quiet --constraint constraints.txt torch
	$(BENCH)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

.venv/docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

demo: $(STAMP)  ## train a tokenizer on the built-in photographs and show what it learned
	$(BIN)/codeword demo

test: lint  ## lint, types, import contract and all tests but the slow ones
	$(PYTEST) -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: $(STAMP)  ## the tests that take minutes
	$(PYTEST) -m slow

soak: $(STAMP)  ## faults by the thousand, killed commands, long runs: hours
	$(PYTEST) tests/faults -m soak

bench: .venv-bench/installed  ## speed, side by side with the peers
	$(BENCH)/python -m benchmarks

figures: $(STAMP)  ## every picture of the documents, the demo's among them: minutes on a free machine
	$(BIN)/python -m benchmarks.figures

docs: .venv/docs  ## the site, into site/, with executed notebooks (not with EXECUTE_NOTEBOOKS=false)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:
	rm -rf .venv .venv-bench build dist site
