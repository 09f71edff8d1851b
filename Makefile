# Verbs of the project. Everything lives in .venv; nothing outside this folder is changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

.PHONY: help install demo recipe test test-slow check bench docs lock clean

help:            ## list the verbs
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 16

$(VENV)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "Vesalius needs Python 3.11 or newer, this is %d.%d; set PYTHON=/path/to/python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/base: requirements/base.txt pyproject.toml | $(VENV)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/demo: requirements/demo.txt | $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/demo.txt
	@touch $@

$(VENV)/dev: requirements/dev.txt | $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

install: $(VENV)/base ## set up .venv with the base install
	@echo "installed; try: $(BIN)/vesalius doctor"

demo: $(VENV)/base $(VENV)/demo ## analyse a real brain MRI (the ICBM152 template) into ./demo-output
	$(BIN)/python recipes/demo.py demo-output

recipe: $(VENV)/base $(VENV)/dev ## train and judge a recipe: make recipe NAME=busi_breast_us [DATA=folder] [BUDGET=small]
	$(BIN)/python recipes/run.py $(NAME) $(if $(DATA),--data $(DATA)) $(if $(BUDGET),--budget $(BUDGET))

test: $(VENV)/base $(VENV)/dev ## pass the tests (slow ones apart)
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-slow: $(VENV)/base $(VENV)/dev ## pass the slow tests
	$(BIN)/python -m pytest -n $(JOBS) -m slow --timeout 3000

check: $(VENV)/base $(VENV)/dev ## style, types and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/base $(VENV)/dev ## measure the figures that docs/ quotes (long)
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

docs: $(VENV)/base $(VENV)/dev ## run the code in README and docs/
	$(BIN)/python -m pytest tests/docs

lock: $(VENV)/base $(VENV)/dev ## pin requirements/*.txt anew from pyproject.toml
	$(BIN)/python requirements/lock.py

clean:           ## remove .venv and outputs
	rm -rf $(VENV) demo-output bench-output
