# One target a task. They need Python 3.11 or later, git and make; uv is installed into .tools where there is none.
PYTHON ?= python3
DEMO ?= demo
ARGS ?=

UV := $(or $(shell command -v uv),$(CURDIR)/.tools/bin/uv)
# uv works with the Python that is here instead of downloading one, and in each project's own environment.
export UV_PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys.executable)')
export PATH := $(PATH):$(dir $(UV))
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	    while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

demo: .venv ## Make a project in demo/, run its notebook, and show what was recorded
	@scripts/demo.sh "$(DEMO)"

test: .venv ## Run the whole test suite (ARGS="-k name" for a part of it)
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: .venv ## Check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv ## Mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

clean: ## Remove what the other targets made
	rm -rf .tools .venv uv.lock .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: pyproject.toml $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(UV) sync --quiet
	@touch .venv

# A Debian without python3-venv can still install into a folder.
$(CURDIR)/.tools/bin/uv:
	$(PYTHON) -m venv --clear .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check uv || \
	    { rm -rf .tools && $(PYTHON) -m pip install --quiet --target .tools uv; }
