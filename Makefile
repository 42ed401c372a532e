# Everything a contributor runs. A fresh Debian 12 or 13 needs python3-venv (and make) first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-on-boards test-elsewhere lint check board board-test deb bench operations vectors clean

run: $(VENV)/run.stamp
	$(BIN)/python tools/demo.py

# What needs a virtual board, one machine after the other, and beside it everything else.
ON_BOARDS := tests/board tests/test_bench.py tests/test_packages.py

test: $(VENV)/test.stamp
	$(MAKE) --jobs=2 --keep-going --no-print-directory test-on-boards test-elsewhere

test-on-boards: $(VENV)/test.stamp
	$(BIN)/python -m pytest -m "not long" $(ON_BOARDS)

test-elsewhere: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(addprefix --ignore=,$(ON_BOARDS))

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# A shell on the virtual board (docs/virtual-board.md); ARCH=arm64 for another processor.
ARCH ?= amd64

board: $(VENV)/test.stamp
	cd tests && ../$(BIN)/python -m board --arch $(ARCH)

board-test: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(ON_BOARDS) --board-arch $(ARCH)

# The Debian packages, into dist/ (docs/install.md). Needs mmdebstrap, and nothing of Python but itself.
deb:
	$(PYTHON) tools/deb.py

bench: $(VENV)/test.stamp
	$(BIN)/python -m bench

# Runs the tests that drive operations through an agent, and renders what they proved.
operations: $(VENV)/test.stamp
	$(BIN)/python -m pytest tests/end_to_end tests/test_example_driver.py tests/board --evidence=docs/evidence.json
	$(BIN)/python tools/operations.py

vectors: $(VENV)/test.stamp
	$(BIN)/python tools/vectors.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { echo "make: install python3-venv first: sudo apt install python3-venv" >&2; exit 1; }

$(VENV)/run.stamp: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/test.stamp: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	touch $@ $(VENV)/run.stamp

clean:
	rm -rf $(VENV) .run dist build
