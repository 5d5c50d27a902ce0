# `make help` lists the targets. Each makes what it needs; a second call does only what has changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2
BENCH := .venv-bench
SCRIPTS := node_modules/.made

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test quick lint types docs bench versions default-model tiny-model image-model figures clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 — /p' $(MAKEFILE_LIST)

demo: $(RUNTIME)  ## take "The capital of France is" apart and write demo.html
	@echo "demo: tracing a prompt through the embedded model, page in demo.html"
	@$(BIN)/mainstem trace "The capital of France is" --html demo.html

test: $(DEV)  ## run every test, the slow ones too
	@echo "test: the whole suite on $(WORKERS) workers"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

quick: $(DEV)  ## run the tests that take seconds
	@echo "quick: the tests that are not marked slow, on $(WORKERS) workers"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(DEV) $(SCRIPTS)  ## check style and formatting rules, and the types of the page's scripts (needs npm)
	@echo "lint: ruff over the whole tree, rules and format; eslint and tsc over the page's scripts"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@npm run --silent lint

types: $(DEV)  ## check types
	@echo "types: mypy over src"
	@$(BIN)/mypy

# No --quiet here: it silences the warnings that --strict counts. One thread: a page that runs small models waits on a second one.
docs: $(DEV)  ## build the documentation into site/, strictly
	@echo "docs: mkdocs, a warning is an error, result in site/"
	@OMP_NUM_THREADS=1 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(DEV) $(BENCH)/now/.made $(BENCH)/then/.made $(BENCH)/views/.made  ## measure time and memory beside other tools, into docs/benchmarks.md
	@echo "bench: benchmarks/spine.py, scores.py, zeroing.py, measures.py, engines.py, curves.py and pages.py, then benchmarks/peers in the environments of the peers"
	@$(BIN)/python -m benchmarks.spine
	@$(BIN)/python -m benchmarks.scores
	@$(BIN)/python -m benchmarks.zeroing
	@$(BIN)/python -m benchmarks.measures
	@$(BIN)/python -m benchmarks.engines
	@$(BIN)/python -m benchmarks.curves
	@$(BIN)/python -m benchmarks.pages
	@$(BIN)/python -m benchmarks.peers

versions:  ## check the oldest, year-old and newest torch and transformers, an environment each (gigabytes)
	@echo "versions: .ci/versions"
	@PYTHON=$(PYTHON) .ci/versions

default-model: $(DEV)  ## train the embedded language model again in place, from scratch, with its fixed seed (an hour; needs npm)
	@echo "default-model: recipes/language_model.py, then its card"
	@$(BIN)/python recipes/language_model.py default
	@$(BIN)/python recipes/language_card.py default

tiny-model: $(DEV)  ## train the embedded tiny model again in place (minutes)
	@echo "tiny-model: recipes/language_model.py, then its card"
	@$(BIN)/python recipes/language_model.py tiny
	@$(BIN)/python recipes/language_card.py tiny

image-model: $(DEV)  ## train the embedded image classifier again in place, from scratch, with its fixed seed (half an hour; needs npm)
	@echo "image-model: recipes/default_image.py, with its card"
	@$(BIN)/python recipes/default_image.py

figures: $(DEV)  ## measure the three embedded models as they are stored, and write their cards anew (needs npm for the test images)
	@echo "figures: recipes/language_card.py, recipes/image_card.py"
	@$(BIN)/python recipes/language_card.py default
	@$(BIN)/python recipes/language_card.py tiny
	@$(BIN)/python recipes/image_card.py

clean:  ## remove what the other targets made, the environment included
	@echo "clean: removing $(VENV), site, demo.html, caches"
	@rm -rf $(VENV) $(BENCH) node_modules .venv-versions site demo.html .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache

# An environment that is there already is adopted; what is stamped is what was installed into it.
$(BIN)/python:
	@echo "venv: $(PYTHON) -m venv $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "mainstem needs Python 3.11 or later: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "install: mainstem, what it runs on and what draws charts, as pinned in constraints.txt"
	@$(PIP) -e '.[view]'
	@touch $@

$(DEV): $(RUNTIME)
	@echo "install: what tests, lint, types and docs need"
	@$(PIP) -e '.[dev]'
	@touch $@

# eslint and TypeScript, as pinned in package-lock.json; none of it is shipped.
$(SCRIPTS): package.json package-lock.json
	@echo "install: what lints the page's scripts"
	@command -v npm >/dev/null || { echo "make lint needs npm: apt-get install npm" >&2; exit 1; }
	@npm ci --silent --no-audit --no-fund
	@touch $@

# The peers' own environments: what they pin must not touch ours.
$(BENCH)/%/.made: benchmarks/peers/%.txt
	@echo "venv: $(BENCH)/$*, as $< says"
	@rm -rf $(BENCH)/$* && $(PYTHON) -m venv $(BENCH)/$*
	@$(BENCH)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $< -e .
	@touch $@

# ecco's own wishes cannot be met beside today's torch; benchmarks/peers/views.txt says what it is given.
$(BENCH)/views/.made: benchmarks/peers/views.txt
	@echo "venv: $(BENCH)/views, as $< says, and ecco"
	@rm -rf $(BENCH)/views && $(PYTHON) -m venv $(BENCH)/views
	@$(BENCH)/views/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@$(BENCH)/views/bin/python -m pip install --quiet --disable-pip-version-check --no-deps ecco==0.1.2
	@touch $@
