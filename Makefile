# make demo: set up, and learn digits on a noisy crossbar.   make test: set up, and pass the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check speed

demo: $(VENV)/.installed
	$(BIN)/noisysim run --device crossbar --out demo.h5 --overwrite --plot learning.png

test: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/mypy

speed: $(VENV)/.installed
	$(BIN)/python -m benchmarks.speed

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@
