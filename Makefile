# Everything a fresh machine needs: Python 3.11 or newer with pip, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check
DEMO ?= demo
# A process for each core, eight at most; whoever runs out of tests takes some of another's.
PARALLEL ?= -n auto --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-real test-servers test-image image bucket bench scale same trees faults crashes crowd limits choose lint clean

help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed ## Simulate a small mixed program, run it here, show where the results are
	$(BIN)/bkgflow demo $(DEMO)

test: $(VENV)/.tested ## Run every test, on all cores
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

test-fast: $(VENV)/.tested ## Run the tests that take little time, in every room: about a minute
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow' --hypothesis-profile fast $(PYTEST_ARGS)

test-real: $(VENV)/.tested ## Run the tests against real servers: installs them, where apt-get can
	tests/real/install.sh
	$(MAKE) --no-print-directory --jobs 2 --output-sync=line test-servers test-image

# Side by side: what builds an image mostly waits for packages.
test-servers:
	$(BIN)/python -m pytest -m debian -rs --ignore tests/real/test_image.py $(PYTEST_ARGS)

test-image:
	$(BIN)/python -m pytest -m debian -rs tests/real/test_image.py $(PYTEST_ARGS)

image: ## Build the image without a Docker engine: debootstrap and buildah, as root on a Debian
	tests/real/install.sh
	deploy/image/build.sh bkgflow

bucket: $(VENV)/.tested ## How fast a program is done from a bucket to a bucket, and with latency
	$(BIN)/python -m benchmarks bucket $(BUCKET_ARGS)

bench: $(VENV)/.tested ## Speed and memory beside the reference step, side by side
	$(BIN)/python -m benchmarks bench $(BENCH_ARGS)

scale: $(VENV)/.tested ## How the cost grows with backgrounds, targets, integrations, workers, units
	$(BIN)/python -m benchmarks scale $(SCALE_ARGS)

same: $(VENV)/.tested ## Whether another checkout makes the same products: make same OLD=…
	$(BIN)/python -m benchmarks same $(OLD) . $(SAME_ARGS)

trees: $(VENV)/.tested ## The time of another checkout and of this one, in turns: make trees OLD=…
	$(BIN)/python -m benchmarks trees $(OLD) . $(TREES_ARGS)

faults: $(VENV)/.tested ## Hurt runs on purpose: signals, kills, full disks, workers that fail
	$(BIN)/python -m benchmarks faults $(FAULTS_ARGS)

crashes: $(VENV)/.tested ## Let runs die, and see that the same command goes on: a table, an hour
	$(BIN)/python -m benchmarks crashes $(CRASHES_ARGS)

crowd: $(VENV)/.tested ## Ten thousand small units, some of them bad: counts, memory, resume
	$(BIN)/python -m benchmarks crowd $(CROWD_ARGS)

limits: $(VENV)/.tested ## What limits 10, 100, 1,000 workers and a million units, in docs/scaling.md
	$(BIN)/python -m benchmarks limits --page docs/scaling.md $(LIMITS_ARGS)

choose: $(VENV)/.tested ## Which rule for which data: figures and pictures of docs/choosing.md
	$(BIN)/python -m benchmarks choose --page docs/choosing.md $(CHOOSE_ARGS)

lint: $(VENV)/.linted ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## Remove the environment and the demo's results
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The environment is made without its own pip, which Debian keeps in a package of its own.
$(BIN)/python:
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing bkgflow into $(VENV): a minute or two, the first time"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[plot]'
	@touch $@

$(VENV)/.tested: pyproject.toml constraints.txt $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV): some minutes, the first time"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.linted: pyproject.toml constraints.txt $(VENV)/.tested
	$(PIP) install --quiet --constraint constraints.txt --editable '.[lint]'
	@touch $@
