# `make train`: from nothing to a trained, evaluated and drawn agent.  `make test`: all checks.
# Both make their own environment in .venv at first; PYTHON=python3.12 picks the interpreter, VENV=path the place.

PYTHON ?= python3
VENV ?= .venv
ALGO ?= gcsl_vicreg
ENV ?= CartPole-v1
PYTEST_ARGS ?= -n 2 --dist loadgroup

INSTALLED := $(VENV)/.installed
CHECKED := gcrl_zoo wrappers hyperparams tests benchmarks
export PATH := $(abspath $(VENV))/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install train test test-all test-gpu pytest lint type docs readme carracing dist format clean

help:
	@echo "make train | test | test-all | test-gpu | format | lint | type | pytest | docs | readme | carracing | dist | install | clean"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	python -m pip install -c constraints.txt -e ".[dev]"
	touch $@

train: $(INSTALLED)
	python -m rl_zoo3.train --algo $(ALGO) --env $(ENV) --num-threads 1 -f logs -P
	python -m rl_zoo3.enjoy --algo $(ALGO) --env $(ENV) --num-threads 1 -f logs -n 10000 --no-render
	python benchmarks/studies/learning_curve.py "$$(ls -td logs/$(ALGO)/$(ENV)_* | head -1)" --output logs/learning_curve.png

# mypy uses one core: pytest begins beside it.
test: lint
	$(MAKE) --no-print-directory --jobs=2 type pytest

# All combinations of parameters instead of all pairs of their values, and the tests that are marked thorough.
test-all: PYTEST_ARGS += --all
test-all: test

# One thread per process: the nets of the tests are small, and threads of two workers would fight over the cores.
pytest: export OMP_NUM_THREADS = 1
pytest: $(INSTALLED)
	python -m pytest $(PYTEST_ARGS)

test-gpu: $(INSTALLED)
	python -m pytest -m cuda

lint: $(INSTALLED)
	ruff check $(CHECKED)
	ruff format --check $(CHECKED)

type: $(INSTALLED)
	mypy

docs: $(INSTALLED)
	python -m sphinx -W --keep-going docs docs/_build

readme: $(INSTALLED)
	python docs/methods_table.py
	python docs/parameters_table.py

# The page docs/results/carracing.md: data, trainings (many hours), diagnostics, figures and a video, which needs the
# extra `record`. Run it again to resume.
STUDIES := benchmarks/studies
AGENTS := logs/study/carracing/agents
DATASETS := $(or $(MINARI_DATASETS_PATH),$(HOME)/.minari/datasets)/carracing

$(DATASETS)/driver-v0: WRAPPERS := bc
$(DATASETS)/dashboard-v0: WRAPPERS := bc/dashboard
$(DATASETS)/%:
	python -m gcrl_zoo.record --policy gcrl_zoo.scripted.car_racing:driver --env CarRacing-v3 --wrappers $(WRAPPERS) \
		--dataset-id carracing/$* -n 100000 --processes 2

carracing: export SDL_VIDEODRIVER = dummy
carracing: export OMP_NUM_THREADS = 1
carracing: $(INSTALLED) $(DATASETS)/driver-v0 $(DATASETS)/dashboard-v0
	python $(STUDIES)/study.py run $(STUDIES)/carracing.yml --jobs 2 --agents $(AGENTS)
	python $(STUDIES)/video_diagnostics.py $(AGENTS)/* --output docs/results/carracing_diagnostics.csv
	python $(STUDIES)/filmstrip.py --seed 20000 $(AGENTS)/default-CarRacing-v3-seed10 $(AGENTS)/bco-CarRacing-v3-seed10 \
		--dataset carracing/driver-v0 --labels "best episode of the data" "default" "bco" \
		--output docs/results/carracing_filmstrip.png
	python -m rl_zoo3.record_video --algo video_vicreg --env CarRacing-v3 -f $(AGENTS)/default-CarRacing-v3-seed10 \
		-n 250 --seed 20000 --no-render -o $(AGENTS)/../video
	mv $(AGENTS)/../video/*.mp4 docs/results/carracing.mp4
	python $(STUDIES)/study.py page $(STUDIES)/carracing.yml

# Build wheel and sdist, and train an agent with each in an environment that has nothing else.
dist: $(INSTALLED)
	rm -rf dist build/dist
	python -m hatchling build -d dist
	python -m venv build/dist
	for package in dist/*.whl dist/*.tar.gz; do \
		build/dist/bin/python -m pip install -c constraints.txt $$package && \
		(cd build/dist && bin/python -m rl_zoo3.train --algo gcsl_vicreg -n 1000 --num-threads 1 --eval-freq -1 -f logs && \
		bin/python -m rl_zoo3.enjoy --algo gcsl_vicreg -f logs --num-threads 1 --no-render -n 200) || exit 1; \
		build/dist/bin/python -m pip uninstall -y gcrl_zoo; \
	done

format: $(INSTALLED)
	ruff check --fix $(CHECKED)
	ruff format $(CHECKED)

clean:
	rm -rf build dist docs/_build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
