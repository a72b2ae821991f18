# Two commands: `make demo` runs the main job on the embedded bench, `make test` passes the tests.
# Both set up what is missing (a virtual environment in .venv) and set it up again when pyproject changed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VENV_PACKAGE := $(notdir $(PYTHON))-venv
SHELL := /bin/bash

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export QT_QPA_PLATFORM ?= offscreen

.PHONY: demo test lint types imports unit reproduce clean setup venv-package

demo: $(STAMP)
	$(BIN)/hilab demo --out demo-out

test: $(STAMP) lint types imports unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/pytest -n 2 --dist worksteal

reproduce: $(STAMP)
	$(BIN)/hilab reproduce spin-neurons

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "hilab needs Python 3.11: install it (Debian: apt-get install python3.11 python3.11-venv) or name one with PYTHON=..." >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) -s venv-package
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

# Debian ships `venv` in a package of its own.
venv-package:
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "hilab needs the package $(VENV_PACKAGE): sudo apt-get install $(VENV_PACKAGE)" >&2; exit 1; }
	@echo "installing $(VENV_PACKAGE) with apt-get"
	@apt-get install -qq -y $(VENV_PACKAGE) >/dev/null || { apt-get update -qq && apt-get install -qq -y $(VENV_PACKAGE) >/dev/null; }

clean:
	rm -rf $(VENV) demo-out .benchmarks .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
