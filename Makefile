# make train   install everything into .venv and train an agent that balances the pole
# make test    install, lint, type-check and test
SHELL := /bin/bash
PYTHON ?= python3.11
# Owners of a GPU: make TORCH="torch==2.13.0 --index-url <the index for your CUDA>" train; see the README.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: train test lint returns pictures clean

train: $(INSTALLED)
	$(BIN)/upswing train CartPole-v1

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch comes first and exactly: any other order fetches gigabytes of GPU libraries that a CPU cannot use
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[atari,box2d,maniskill,mujoco,bench,dev]'
	touch $@

returns: $(INSTALLED)
	$(BIN)/python -m scripts.returns

pictures: $(INSTALLED)
	$(BIN)/python -m scripts.pictures

clean:
	rm -rf $(VENV) build dist
