# `make` alone lists the targets. Every target sets up what it needs; only Python >= 3.11 and make are assumed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup up test test-faults check format bench compose lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with every pinned dependency and the `tollway` command

$(READY): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Tollway needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "setting up .venv (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

up: setup ## run the gateway with nothing else installed (DATA=./.tollway PORT=8080)
	@exec $(BIN)/tollway up --data $(or $(DATA),./.tollway) --port $(or $(PORT),8080)

test: setup ## every test that a fresh machine can run, with real servers from wheels
	@$(BIN)/pytest $(ARGS)

test-faults: setup ## the long fault suite: real processes killed, starved and lied to
	@$(BIN)/pytest tests/faults -m faults --faults=long $(ARGS)

check: setup ## ruff, pyright in strict mode, and known vulnerabilities of dependencies where the network allows
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/basedpyright
	@$(BIN)/python requirements/audit.py requirements/run.txt

format: setup ## format and sort imports
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

bench: setup ## one command, one table: CPU per request, latency, streams, memory
	@$(BIN)/python -m benchmarks $(ARGS)

compose: ## build and start everything in containers (NATS, PostgreSQL, Jaeger)
	docker compose up --build --detach --wait

lock: setup ## pin the dependencies again, with hashes and without index lines
	@for out in run dev; do extra=$$( [ $$out = dev ] && echo "--extra dev -c requirements/run.txt" ); \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	    --custom-compile-command "make lock" $$extra pyproject.toml -o requirements/$$out.txt; done
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	    --custom-compile-command "make lock" requirements/bootstrap.in -o requirements/bootstrap.txt

clean: ## remove .venv and caches (never a data directory)
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis
