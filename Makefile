# `make demo` and `make test` need nothing but Python >= 3.11: they create .venv and install into it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test check test-peers lint docs bench bench-peers clean

# Compiling every module of torch takes a minute and a half; each is compiled when it is first imported.
PIP := -m pip install -q --disable-pip-version-check --no-compile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vauban needs Python >= 3.11; set PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) -e .
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) -e ".[dev]"
	touch $(VENV)/.base $@

demo: $(VENV)/.base
	$(BIN)/vauban evaluate --out runs/demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Before a commit: lint, types and the tests that are not slow.
check: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

# Cross-checks against Foolbox and AutoAttack; optional, needs the extra `peers`.
test-peers: $(VENV)/.dev
	$(BIN)/python $(PIP) -e ".[peers]"
	$(BIN)/python -m pytest -n $(WORKERS) -m peers

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/python $(PIP) -e ".[docs]"
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.overhead $(BENCH)

bench-peers: $(VENV)/.dev
	$(BIN)/python $(PIP) -e ".[peers]"
	test -d $(VENV)/peers || $(BIN)/python $(PIP) --no-deps --target $(VENV)/peers torchattacks==3.5.1
	PYTHONPATH=$(VENV)/peers $(BIN)/python -m benchmarks.peers $(BENCH)

clean:
	rm -rf $(VENV) runs site
