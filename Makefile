# Everything from an empty machine: `make demo` and `make test`. While you work: `make lint` and `make quick`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Two workers of one thread each: the tests are many small jobs, not a few large ones.
PYTEST := OMP_NUM_THREADS=1 pytest -n 2

.PHONY: setup demo lint quick test coverage test-gpu test-all gpu-check bench

setup: $(BIN)/.ready

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# From the raw model to the tables: downloads, compresses, tunes, evaluates and reports.
demo: setup
	snakemake --config 'active=[demo]'
	@cat results/demo/report/main.md
	@echo; echo "Tables and figures: results/demo/report/index.html"

lint: setup
	ruff check
	ruff format --check
	mypy
	snakefmt --check Snakefile rules

# Unit tests alone: no run of the workflow, no browser, no server, and not every model and fault in turn.
quick: setup
	$(PYTEST) -m 'not system and not slow and not thorough'

# All but the slow tests.
test: setup
	$(PYTEST) --dist loadfile --no-loadscope-reorder

# The same in up to twice the time, and which lines the tests' own processes ran, without the jobs that they start.
coverage: setup
	$(PYTEST) --dist loadfile --no-loadscope-reorder --cov

# The unit tests with a GPU in place of the CPU, one process at a time.
test-gpu: setup
	LORAP_DEVICE=cuda pytest -m 'not system and not slow'

test-all: setup
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m ''

# The first run on a GPU: is all of it right, and how long does it take? Without one the CPU takes its place.
gpu-check: setup
	python -m benchmarks.gpu_check --out gpu-check.md

bench: models/smollm2-135m-instruct/meta.json
	python -m benchmarks.compression --model $(<D) --out benchmarks/compression.json
	python -m benchmarks.tuning --model $(<D) --out benchmarks/tuning.json
	python -m benchmarks.workflow --out benchmarks/workflow.json
	python -m benchmarks.widths --out benchmarks/widths.json
	python -m benchmarks.estimate --out benchmarks/estimate.json

models/%/meta.json: | setup
	lorap fetch $* --out $(@D)
