# Each target builds .venv with what it needs, from the pins in tests/requirements.txt.
PYTHON ?= python3
VENV ?= .venv
ONNX_ENV := build/onnx-env
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PINS := tests/requirements.txt
export NO_ALBUMENTATIONS_UPDATE = 1

.PHONY: help demo test test-onnx lint format docs bench fractals pictures clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## Write a contact sheet of DiffuseMix on real photographs to diffusemix_demo/
	$(BIN)/albu-diffusemix demo

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest --cov

test-onnx: $(VENV)/.dev $(ONNX_ENV)/.ready ## Test the onnx backend in an environment without torch
	ONNX_ENV=$(ONNX_ENV) $(BIN)/python -m pytest tests/fresh_onnx.py

lint: $(VENV)/.dev ## Check style (ruff), types (mypy) and the direction of imports (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# mypy sees the package as it is installed: with the fractals inside of it.
	@rm -rf build/typed && mkdir -p build/typed/albu_diffusemix
	@ln -s $(CURDIR)/albu_diffusemix/* $(CURDIR)/fractal_assets build/typed/albu_diffusemix/
	cd build/typed && $(abspath $(BIN))/mypy --config-file $(CURDIR)/setup.cfg
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Build the documentation into docs/_build/html and run its examples
	$(BIN)/sphinx-build -n -W -q -b html docs docs/_build/html
	$(BIN)/sphinx-build -n -W -q -b doctest docs docs/_build/doctest

bench: $(VENV)/.dev ## Measure, and compare with the lines of the design
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only -p no:randomly -s

fractals: $(VENV)/.dev ## Render a few of the built-in fractals again and compare them with the shipped ones
	$(BIN)/python -m albu_diffusemix.fractal_assets.generate --check

pictures: $(VENV)/.dev ## Draw the pictures of the documentation again
	$(BIN)/python docs/pictures.py

clean: ## Remove everything that these targets made
	rm -rf $(VENV) build dist docs/_build diffusemix_demo *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python setup.cfg $(PINS)
	$(PIP) --constraint $(PINS) --editable ".[demo]"
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python setup.cfg $(PINS)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "the development environment needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PIP) --requirement $(PINS)
	$(PIP) --no-deps --editable .
	@touch $@

# Nothing but what a user of the extra gets.
$(ONNX_ENV)/.ready: $(VENV)/bin/python setup.cfg $(PINS)
	rm -rf $(ONNX_ENV)
	$(VENV)/bin/python -m venv $(ONNX_ENV)
	$(ONNX_ENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS) --editable ".[onnx]"
	@touch $@
