# Everything from an empty machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo test test-all bench lint

setup: $(BIN)/.ready

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# From the raw model to the tables: downloads it, compresses, evaluates, reports.
demo: setup
	snakemake --config 'active=[demo]'
	@cat results/demo/report/main.md
	@echo; echo "Tables and figures: results/demo/report/"

lint: setup
	ruff check
	ruff format --check
	mypy

# Two workers of one thread each: these tests are many small jobs, not large ones.
test: setup
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile

test-all: setup
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m ''

bench: models/smollm2-135m-instruct/meta.json
	python -m benchmarks.compression --model $(<D) --out benchmarks/compression.json
	python -m benchmarks.tuning --model $(<D) --out benchmarks/tuning.json
	python -m benchmarks.workflow --out benchmarks/workflow.json

models/%/meta.json: | setup
	lorap fetch $* --out $(@D)
