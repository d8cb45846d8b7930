# make demo       install, then watch a generated video and leave its results in demo/
# make test       install with the test extra, then run the tests except for those that are marked slow
# make test-all   the same, with the slow ones
# make lint       ruff and mypy
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests start many processes and wait for them, so three run at once on two cores. Where Python may not keep compiled modules, each one compiles all that it imports again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 1

.PHONY: demo test test-all lint format clean

demo: $(VENV)/installed-base
	$(BIN)/memvit demo --out demo

test: $(VENV)/installed-test
	$(PYTEST)

test-all: $(VENV)/installed-test
	$(PYTEST) -m ''

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# An extra is installed again when the packaging changes. uv installs the same wheels as pip, several times faster;
# where it cannot be had, pip does the work.
$(VENV)/installed-%: setup.py pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || true
	$(if $(filter base,$*),$(call install,.),$(call install,.[$*]))
	@touch $@

define install
	@if $(BIN)/python -m uv --version >/dev/null 2>&1 && \
	  $(BIN)/python -m uv pip install --python $(BIN)/python --editable '$(1)'; then :; \
	else $(BIN)/python -m pip install --editable '$(1)'; fi
endef
