# The commands of this project. `make help` lists them.

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ORDERS ?= 200

.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(VENV)/.installed ## Orders from a Magento sandbox to an SAP sandbox and shipments back, checked one to one (ORDERS=n)
	@$(BIN)/datawald demo --orders $(ORDERS)

.PHONY: up
up: $(VENV)/.installed ## The same services, kept running; addresses and keys are printed
	@$(BIN)/datawald up

.PHONY: test
test: $(VENV)/.dev ## The whole test suite
	@$(BIN)/python -m pytest

.PHONY: bench
bench: $(VENV)/.dev ## A thousand orders against a SAP that needs 80 ms for each; figures, no verdict
	@$(BIN)/python bench/spine.py

.PHONY: check
check: $(VENV)/.dev ## Format, lint, types and import rules, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.dev ## Put the code into its format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/.dev ## Write the lock files anew from setup.py
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header setup.py -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra dev -c requirements.lock setup.py -o requirements-dev.lock

.PHONY: wheel
wheel: $(VENV)/.dev ## Build the wheel into dist/
	rm -rf build dist
	$(BIN)/python -m build --wheel --outdir dist .

.PHONY: clean
clean: ## Remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "DataWald needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1). On Debian or Ubuntu: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv module. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "making the environment in $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock setup.py pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
