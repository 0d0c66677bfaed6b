# make study: the flagship study · make check: lint, types and import contracts · make ui: MLflow
# make gpu: what needs a GPU, measured on one
# make findings: docs/findings.md from docs/evidence and the notes of studies
# make test, test-fast, test-system, test-wheel, soak: the tests · make docs: the site
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: study findings test test-fast test-system test-wheel docs check ui gpu soak clean

study: $(VENV)/.run
	$(BIN)/ablab run studies/gpt2_vs_llama.yaml

# Results of other runs: `ablab evidence --save docs/evidence` first.
findings: $(VENV)/.run
	$(BIN)/ablab evidence --from docs/evidence --findings docs/findings.md

PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=10

# Everything but the system tests.
test: $(VENV)/.dev
	$(PYTEST) -m "not system and not soak and not wheel"

# The tests to run while editing: no processes, no servers, nothing that takes seconds.
test-fast: $(VENV)/.dev
	$(PYTEST) -m "not slow and not system and not soak and not wheel"

# Killed processes, servers, databases and browsers.
test-system: $(VENV)/.dev
	$(PYTEST) -m "system and not soak"

# The wheel in an empty environment, outside the checkout.
test-wheel: $(VENV)/.dev
	$(BIN)/python -m pytest -q --durations=5 -m wheel

# The documentation as a site in build/site.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

ui: $(VENV)/.run
	$(BIN)/ablab ui

# Tables in build/benchmarks. Where there is no GPU: python -m benchmarks.gpu --dry
gpu: $(VENV)/.dev
	$(BIN)/python -m benchmarks.gpu

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
