# The front door: `make help` lists what there is.
# Needed beforehand: Linux, Python 3.11 to 3.13 with venv, make, git. Everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --no-deps
STAMPS := $(VENV)/.stamps
WEB := edge/web

# Test files that run at once, each worker with parts of its own: a test waits more than it works.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadfile

# Node and npm of the machine where they are new enough (20.19), else those of the wheel in .venv.
NODE_IS_NEW := node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a * 100 + b < 2019 ? 1 : 0)'
NODE_PATH := $(shell $(NODE_IS_NEW) 2>/dev/null || echo $(CURDIR)/$(BIN):)
WEB_SOURCES := $(shell find $(WEB) -type f -not -path '$(WEB)/node_modules/*' -not -path '$(WEB)/dist/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup up down status test test-slow test-faults test-compose lint format bench soak browser clean-data

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/package $(STAMPS)/kafka $(if $(wildcard $(WEB)/package.json),$(WEB)/dist/index.html) ## Install everything that is missing or older than its lock

up: setup ## Start Chorus on this machine (OPTIONS="--detach", see `.venv/bin/chorus up --help`)
	@$(BIN)/chorus up $(OPTIONS)

down: ## Stop it
	@test ! -x $(BIN)/chorus || $(BIN)/chorus down

status: ## Say what runs
	@$(BIN)/chorus status

test: setup browser lint ## Prove it: every test but the slow ones, the fault suite and the one that needs a Docker engine (WORKERS=n at once)
	$(BIN)/python -m pytest tests --ignore=tests/compose --ignore=tests/faults -m "not slow" $(PARALLEL)

test-slow: setup ## The longest tests
	$(BIN)/python -m pytest tests --ignore=tests/compose --ignore=tests/faults -m slow $(PARALLEL)

# One seed makes the same people say the same; RANDOM_MINUTES draws faults for so long, instead of the suite.
test-faults: setup ## Break everything while people talk, and look at what is left (RANDOM_MINUTES=n SEED=s REPORT=file.md)
	$(if $(RANDOM_MINUTES),CHORUS_FAULT_RANDOM_MINUTES=$(RANDOM_MINUTES)) $(if $(SEED),CHORUS_FAULT_SEED=$(SEED)) \
	  $(if $(REPORT),CHORUS_FAULT_REPORT=$(REPORT)) $(BIN)/python -m pytest \
	  $(if $(RANDOM_MINUTES),tests/faults/test_random.py,tests/faults)

test-compose: setup ## Bring everything up with `docker compose`, make one journey through it, take it down
	$(BIN)/python -m pytest tests/compose

lint: setup ## Style, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
ifneq ($(wildcard $(WEB)/package.json),)
	cd $(WEB) && PATH="$(NODE_PATH)$$PATH" npm run --silent lint
endif

format: setup ## Rewrite the sources in the common style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

soak: setup ## Talk for MINUTES (10) at RATE (40) messages a second: does anything grow that should not?
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) --rate $(or $(RATE),40)

bench: setup ## Measure, and print the figures of docs/performance.md
	$(BIN)/python -m tests.benchmarks

browser: setup ## See that there is a browser for the tests
	@$(BIN)/python -m infra.stack.browser

clean-data: down ## Remove all data: accounts, conversations, secrets, logs
	rm -rf .chorus

# -- what setup is made of; each stamp says when its lock was last installed --------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: install it, or name it with make PYTHON=python3.12."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dependencies: infra/locks/dev.txt infra/locks/model.txt | $(STAMPS)/venv
	$(PIP) --require-hashes -r infra/locks/dev.txt
	$(PIP) --require-hashes -r infra/locks/model.txt
	@touch $@

# The build backend comes from the lock, so nothing is downloaded that no lock names.
$(STAMPS)/package: setup.cfg pyproject.toml $(STAMPS)/dependencies
	$(PIP) --quiet --no-build-isolation --editable .
	@touch $@

$(STAMPS)/kafka: infra/locks/kafka.txt $(STAMPS)/package
	$(BIN)/python -m infra.stack.jars
	@touch $@

$(STAMPS)/web: $(WEB)/package-lock.json $(STAMPS)/dependencies
	cd $(WEB) && PATH="$(NODE_PATH)$$PATH" npm ci --no-audit --no-fund
	@touch $@

$(WEB)/dist/index.html: $(WEB_SOURCES) $(STAMPS)/web
	cd $(WEB) && PATH="$(NODE_PATH)$$PATH" npm run --silent build
	@touch $@
