# make help says what there is. Everything runs in .venv, made from the hashed locks in requirements/.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# One process more than there are processors, four at most: a third of their time tests wait for real counterparts, but
# with more than that these wait for each other.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(4, 1 + (os.cpu_count() or 1)))")
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help env env-run demo test check format bench prove requirements dist docs audit screenshots lock version

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

env: ## the environment for work and tests, in .venv
	@$(PYTHON) tools/env.py dev

env-run: ## the smaller environment of the daemon, in .venv
	@$(PYTHON) tools/env.py run

demo: env-run ## look at it: needs no account anywhere; ends with the page to open
	@$(BIN)/talkwire demo $(ARGS)

test: env ## the suite, with real counterparts where they are installed (ARGS="-k words" for some of it)
	@tools/real_parts
	@TALKWIRE_TEST_DATABASES=both $(PYTEST) -n $(WORKERS) --maxprocesses=4 --dist=loadgroup $(ARGS)

check: env ## format, lint, types, boundaries, the manual, licences, requirements
	@$(BIN)/python tools/check.py

format: env ## put the code in form, and repair what the linter can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: env ## ratios to a bare aiohttp handler, into bench/out/results.json
	@$(BIN)/python -m bench $(ARGS)

prove: env ## the long form of the tests marked `prove`, figures into docs/proof/
	@tools/real_parts
	@$(BIN)/python tools/prove.py $(ARGS)

requirements: env ## each numbered statement: proved, planned or missing
	@$(BIN)/python tools/requirements.py $(ARGS)

dist: env ## wheels of every distribution, into dist/
	@$(BIN)/python tools/dist.py $(ARGS)

docs: env ## the manual, into build/docs; a warning fails it
	@$(BIN)/python tools/docs.py $(ARGS)

audit: ## known weaknesses of what the locks name, asked of the network (pip-audit, in .venv-audit)
	@$(PYTHON) tools/audit.py $(ARGS)

screenshots: env ## pictures of the pages, into docs/screens/
	@tools/real_parts
	@$(BIN)/python tools/screenshots.py $(ARGS)

lock: ## the hashed locks anew (needs uv; UPGRADE="--upgrade" or "--upgrade-package NAME")
	@UV="$(UV)" UPGRADE="$(UPGRADE)" tools/lock.sh

version: ## set one version everywhere: make version TO=0.2.0
	@$(PYTHON) tools/version.py $(TO)
