# `make demo` and `make test` are the whole set-up on a fresh machine (Python >= 3.11, a package index).
PYTHON ?= python3
RUN = .venv/bin/

.PHONY: demo test lint style bench clean

demo: .venv/installed
	$(RUN)silk-sfm demo demo_out

test: .venv/installed lint
	$(RUN)pytest -m "not slow" -n auto
	$(RUN)pytest -m slow

lint: .venv/installed
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy silk_sfm
	$(RUN)lint-imports

bench: .venv/installed
	$(RUN)pytest tests/benchmarks --benchmark-enable

style: .venv/installed
	$(RUN)python tests/style_figures.py silk_sfm

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(RUN)python -m pip install --quiet --constraint constraints.txt --editable '.[dev,viz]'
	touch $@

clean:
	rm -rf .venv demo_out build dist *.egg-info
