# Needs `python3` with venv, and make. Every target sets up .venv first; a second run installs nothing.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
BENCH := .venv-bench/bin
PYTEST := $(BIN)/python -m pytest

PARALLEL := -n 2 --dist loadfile
UNITS := tests/kernels tests/functional tests/parts tests/quantizers tests/promises
# P6 aside: to compile takes about as long as all else together.
EAGER := $(UNITS) --ignore=tests/promises/test_p6_compile.py

.PHONY: demo test tests check unit lint slow processors torches soak bench figures gallery docs clean

.venv/demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

$(STAMP): .venv/demo
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

demo: .venv/demo  ## train a tokenizer on the built-in photographs and show what it learned
	$(BIN)/codeword demo

test: lint tests  ## lint, types, import contract and all tests but the slow ones

tests: $(STAMP)  ## all tests but the slow ones
	$(PYTEST) $(PARALLEL)

unit: $(STAMP)  ## the tests of the layer: kernels, functions, parts, quantizers and their promises, not compiled
	$(PYTEST) $(PARALLEL) $(EAGER)

check: $(STAMP)  ## every law and test of one part, the slow ones too: make check K=rotation
	@test -n '$(K)' || { echo 'which part? make check K=rotation'; exit 2; }
	$(PYTEST) -n 2 --dist worksteal -m 'not gpu and not soak' -k '$(K)' $(UNITS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: $(STAMP)  ## the tests that take minutes
	$(PYTEST) -m slow

# Other code on the same machine: torch's plain and AVX2 loops, the search in plain torch, no llvmlite, two threads.
processors: $(STAMP)  ## the tests of the layer as other processors run them: five times `make unit`
	mkdir -p .venv/absent && echo 'import sys; sys.modules["llvmlite"] = None' > .venv/absent/sitecustomize.py
	ATEN_CPU_CAPABILITY=default $(PYTEST) $(PARALLEL) $(EAGER)
	ATEN_CPU_CAPABILITY=avx2 $(PYTEST) $(PARALLEL) $(EAGER)
	CODEWORD_KERNEL=blocked $(PYTEST) $(PARALLEL) $(EAGER)
	PYTHONPATH=.venv/absent $(PYTEST) $(PARALLEL) $(EAGER)
	CODEWORD_TEST_THREADS=2 $(PYTEST) $(PARALLEL) $(EAGER)

torches: $(STAMP)  ## under older and newer versions of torch: gigabytes for each, one after the other
	$(BIN)/python tests/torches.py

soak: $(STAMP)  ## faults by the thousand, killed commands, long runs: hours
	$(PYTEST) tests/faults -m soak

bench: .venv-bench/installed  ## speed, side by side with the peers
	$(BENCH)/python -m benchmarks

figures: $(STAMP)  ## every picture of the documents, the demo's among them: minutes on a free machine
	$(BIN)/python -m benchmarks.figures

gallery: $(STAMP)  ## three small tokenizers with model cards, into gallery/: minutes
	$(BIN)/python examples/gallery.py

docs: .venv/docs  ## the site, into site/, with executed notebooks (not with EXECUTE_NOTEBOOKS=false)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	$(BIN)/python tests/site_search.py

clean:
	rm -rf .venv .venv-bench build dist site
