# Each target builds the environment that it needs from the pins in tests/requirements*.txt: .venv, or one of its own.
PYTHON ?= python3
VENV ?= .venv
ONNX_ENV := build/onnx-env
SMOKE := build/smoke
BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check
NEEDS_3_11 := 'import sys; sys.exit(sys.version_info < (3, 11) and "the development environment needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
PINS := tests/requirements.txt
SECONDS ?= 3600
SEED ?= 0
MIT_PINS := tests/requirements-mit.txt
X_PINS := tests/requirements-x.txt
OLD_PINS := tests/requirements-old.txt
DIFFUSERS_OLD_PINS := tests/requirements-diffusers-old.txt
VISION_PINS := tests/requirements-vision.txt
BROWSER_PINS := tests/requirements-browser.txt
# Packages that .venv-old lacks, and the helpers of tests that use them: files that import none of these test the core.
NOT_IN_OLD := benchmarks|dataset_files|datasets|diffusers|diffusion_tools|fractal_assets|hub_server|huggingface_hub|onnx|onnx_models|onnxruntime|pyarrow|ray|ray_clusters|tiny_models|torch|transformers|webdataset
# Measures in three fresh processes, only in the first of them what is marked `once`; saves what they found in a folder,
# and prints it joined.
define measure
	@rm -rf $(1) && mkdir -p $(1)
	for run in 1 2 3; do \
		$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only --benchmark-quiet -p no:randomly \
			-m "$$([ $$run = 1 ] || echo not once)" --benchmark-json $(1)/$$run.json $(2) || exit 1; \
	done
	@$(BIN)/python -m benchmarks.report $(1)
endef
export NO_ALBUMENTATIONS_UPDATE = 1
export ALBUMENTATIONS_NO_TELEMETRY = 1
# The tests share the cores among themselves, a file to a process, so that what a file prepares is made once.
test test-slow test-x test-x-all test-old test-diffusers-old test-vision: export OMP_NUM_THREADS = 1

.PHONY: help demo test test-slow test-x test-x-all test-old test-diffusers-old campaign test-onnx test-vision test-browser smoke lint format docs bench bench-full plots evidence evidence-full fractals pictures dist clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## Write a contact sheet of DiffuseMix on real photographs to diffusemix_demo/
	$(BIN)/albu-diffusemix demo

test: $(VENV)/.dev ## Run the tests, apart from the slow ones
	$(BIN)/python -m pytest -n auto --dist loadfile --cov -m "not slow"

test-slow: $(VENV)/.dev ## Run the tests that wait for clusters of Ray, kills and models (not part of .ci/run)
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

test-x: $(VENV)-x/.dev ## Run on AlbumentationsX, in an environment of its own, the tests that depend on the host
	$(VENV)-x/bin/python -m pytest -n auto --dist loadfile -m "not any_host"

test-x-all: $(VENV)-x/.dev ## Run all of the tests on AlbumentationsX
	$(VENV)-x/bin/python -m pytest -n auto --dist loadfile

test-old: $(VENV)-old/.dev ## Run the core's tests on OpenCV 4.10 and NumPy 1.26 (Python 3.10 to 3.12)
	$(VENV)-old/bin/python -m pytest -n auto --dist loadfile $$(grep -LE '^ *(from|import) ($(NOT_IN_OLD))\b' tests/test_*.py)

test-diffusers-old: $(VENV)-diffusers-old/.dev ## Test the backend diffusers on diffusers 0.34 and transformers 4.49 (not part of .ci/run)
	$(VENV)-diffusers-old/bin/python -m pytest -n auto --dist loadfile -W ignore::UserWarning -W ignore::FutureWarning \
		-W ignore::DeprecationWarning tests/test_diffusers*.py tests/test_generate_diffusion.py tests/test_families.py

campaign: $(VENV)/.dev ## Kill runs and break stores for SECONDS=3600, from SEED=0, and print what came of it
	cd tests && $(abspath $(BIN))/python -m campaign --seconds $(SECONDS) --seed $(SEED)

test-onnx: $(VENV)/.dev $(ONNX_ENV)/.ready ## Test the onnx backend in an environment without torch
	ONNX_ENV=$(ONNX_ENV) $(BIN)/python -m pytest tests/fresh_onnx.py

test-vision: $(VENV)-vision/.dev ## Test with torchvision and the libraries that want it (some 6 GB, not part of .ci/run)
	$(VENV)-vision/bin/python -m pytest -n auto --dist loadfile tests/vision_*.py

test-browser: $(VENV)/.dev $(BROWSER_PINS) ## Test the page of review in Debian's chromium (apt-get install chromium chromium-driver); PICTURE=docs/pictures/review.jpg draws its picture
	$(BIN)/python $(INSTALL) --target build/browser --upgrade --requirement $(BROWSER_PINS)
	PYTHONPATH=build/browser $(BIN)/python -m pytest tests/browser_review.py

smoke: ## Install the wheel into a fresh environment of PYTHON=python3.13 and try what a user does first
	@rm -rf $(SMOKE) build/lib
	$(PYTHON) -m venv $(SMOKE)
	$(SMOKE)/bin/python -m pip --quiet --disable-pip-version-check wheel --no-deps --wheel-dir $(SMOKE) .
	$(SMOKE)/bin/python $(INSTALL) --constraint $(PINS) --constraint $(MIT_PINS) "$$(echo $(SMOKE)/*.whl)[demo]"
	@mkdir $(SMOKE)/empty
	cd $(SMOKE)/empty && ../bin/python $(CURDIR)/tests/smoke.py

lint: $(VENV)/.dev ## Check style (ruff), types (mypy) and the direction of imports (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Build the documentation into docs/_build/html and run its examples
	$(BIN)/sphinx-build -n -W -q -b html docs docs/_build/html
	$(BIN)/sphinx-build -n -W -q -b doctest docs docs/_build/doctest

bench: $(VENV)/.dev ## Measure side by side, and compare with the project's lines (under 6 minutes)
	$(call measure,build/bench)

bench-full: $(VENV)/.dev ## The same with all sizes and more rounds (about 18 minutes)
	$(call measure,build/bench-full,--scale full)

plots: $(VENV)/.dev ## Write the figures of the last bench into the documentation, as tables and plots
	$(BIN)/python -m benchmarks.tables build/bench README.md docs/performance.md docs/scaling.md benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.plots build/bench docs/pictures

evidence: $(VENV)/.dev ## Compare on small real photographs and digits what is missing, and write docs/evidence.md (an hour or two)
	$(BIN)/python -m benchmarks.evidence

evidence-full: $(VENV)/.dev ## The same with MNIST, emoji, more masks, opacities and severities (several hours, in pieces)
	$(BIN)/python -m benchmarks.evidence --full

fractals: $(VENV)/.dev ## Render a few of the built-in fractals again and compare them with the shipped ones
	$(BIN)/python -m fractal_assets.rendering.generate --check

pictures: $(VENV)/.dev ## Draw the pictures of the documentation again
	$(BIN)/python docs/pictures.py

dist: $(VENV)/.dev ## Build the sdist, and the wheel from it, into dist/
	@rm -rf dist
	$(BIN)/python -m build --outdir dist .

clean: ## Remove everything that these targets made
	rm -rf $(VENV) $(VENV)-x $(VENV)-old $(VENV)-diffusers-old $(VENV)-vision build dist docs/_build diffusemix_demo *.egg-info

%/bin/python:
	$(PYTHON) -m venv $*

$(VENV)/.demo: $(VENV)/bin/python setup.cfg $(PINS) $(MIT_PINS)
	$< $(INSTALL) --constraint $(PINS) --constraint $(MIT_PINS) --editable ".[demo]"
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python setup.cfg $(PINS) $(MIT_PINS)
	@$< -c $(NEEDS_3_11)
	$< $(INSTALL) --requirement $(PINS) --requirement $(MIT_PINS)
	$< $(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)-x/.pins: $(VENV)-x/bin/python $(PINS) $(X_PINS)
	@$< -c $(NEEDS_3_11)
	$< $(INSTALL) --requirement $(PINS) --requirement $(X_PINS)
	@touch $@

$(VENV)-x/.dev: $(VENV)-x/bin/python $(VENV)-x/.pins setup.cfg
	$< $(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)-old/.dev: $(VENV)-old/bin/python $(OLD_PINS) setup.cfg
	$< $(INSTALL) --requirement $(OLD_PINS)
	$< $(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)-diffusers-old/.dev: $(VENV)-diffusers-old/bin/python $(PINS) $(MIT_PINS) $(DIFFUSERS_OLD_PINS) setup.cfg
	$< $(INSTALL) --requirement $(PINS) --requirement $(MIT_PINS)
	$< $(INSTALL) --requirement $(DIFFUSERS_OLD_PINS)
	$< $(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)-vision/.dev: $(VENV)-vision/bin/python $(VISION_PINS) setup.cfg
	$< $(INSTALL) --requirement $(VISION_PINS)
	$< $(INSTALL) --no-deps --editable .
	@touch $@

# Nothing but what a user of the extra gets.
$(ONNX_ENV)/.ready: $(ONNX_ENV)/bin/python setup.cfg $(PINS) $(MIT_PINS)
	$< $(INSTALL) --constraint $(PINS) --constraint $(MIT_PINS) --editable ".[onnx]"
	@touch $@
