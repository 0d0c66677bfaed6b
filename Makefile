# make study: the flagship study · make test: the tests · make check: lint and types · make ui: MLflow
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: study test check ui soak clean

study: $(VENV)/.run
	$(BIN)/ablab run studies/gpt2_vs_llama.yaml

# Tests of one thread each run on all cores; those that start processes or measure times run one after the other.
TOGETHER := tests/arch tests/data tests/plugins tests/stats

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n logical $(TOGETHER)
	$(BIN)/python -m pytest -q $(filter-out $(TOGETHER),$(patsubst %/,%,$(wildcard tests/*/)))

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

ui: $(VENV)/.run
	$(BIN)/ablab ui

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m soak

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
