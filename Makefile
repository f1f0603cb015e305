# make train   install into .venv and train an agent that balances the pole
# make test    install every extra too, lint, type-check and test
SHELL := /bin/bash
PYTHON ?= python3.11
# Owners of a GPU: make TORCH="torch==2.13.0 --index-url <the index for your CUDA>" train; see the README.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
COMPLETE := $(VENV)/.complete

.PHONY: train test lint compiled returns equivalence bench bench-gpu bench-micro pictures clean

train: $(INSTALLED)
	$(BIN)/upswing train CartPole-v1

test: $(COMPLETE)
	@$(MAKE) --no-print-directory -j2 lint compiled
	$(BIN)/python -m pytest -n 2 --dist worksteal

# kernels are compiled once, here, while the other core checks style and types
compiled: $(COMPLETE)
	@$(BIN)/upswing train CartPole-v1 --total-timesteps 64 --quiet --name first --out-dir $$(mktemp -d) >/dev/null
	@$(BIN)/upswing selftest >/dev/null

lint: $(COMPLETE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch comes first and exactly: any other order fetches gigabytes of GPU libraries that a CPU cannot use
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into $(VENV), which takes a minute or two."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(TORCH)
	@$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(COMPLETE): $(INSTALLED)
	@echo "Installing every extra, for the tests, which takes a few minutes."
	@$(PIP) --constraint constraints.txt --editable '.[atari,box2d,envpool,maniskill,mujoco,sc2,sweep,dev]'
	@$(PIP) --no-deps pysc2==4.0.0  # what it asks for would replace pygame-ce by an older pygame
	@touch $@

returns: $(COMPLETE)
	$(BIN)/python -m scripts.returns

equivalence: $(COMPLETE)
	$(BIN)/python -m scripts.equivalence

# rivals are large (SBX brings JAX), so they are installed when they are measured
bench: $(COMPLETE)
	@$(PIP) --constraint constraints.txt --editable '.[bench]'
	$(BIN)/upswing bench --output docs/benchmarks.md

bench-gpu: $(COMPLETE)
	$(BIN)/python -m upswing.bench.gpu --output docs/benchmarks-gpu.md

bench-micro: $(COMPLETE)
	$(BIN)/python -m pytest benchmarks

pictures: $(COMPLETE)
	$(BIN)/python -m scripts.pictures

clean:
	rm -rf $(VENV) build dist
