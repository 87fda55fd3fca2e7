# One target a task. They need Python 3.11 or later, git and make; uv is installed into .tools where there is none.
PYTHON ?= python3
DEMO ?= demo
ARGS ?=
VERSION ?=

UV := $(or $(shell command -v uv),$(CURDIR)/.tools/bin/uv)
# uv works with the Python that is here instead of downloading one, and in each project's own environment.
export UV_PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys.executable)')
# Without a final slash: pyenv would not know its own folder by it, and its commands would call themselves for ever.
export PATH := $(PATH):$(patsubst %/,%,$(dir $(UV)))
unexport VIRTUAL_ENV
# A container may set it; each process would then compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test sweeps lint format docs pictures digests reference release clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	    while IFS='|' read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

demo: .venv ## Make a project in demo/, run its notebook, and show what was recorded
	@scripts/demo.sh "$(DEMO)"

# Two processes more than two cores: tests wait for kernels, git, servers and the disk.
test: .venv ## Run the whole test suite (ARGS="-k name" for a part of it)
	.venv/bin/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

SWEEP_EVERY ?= 1
sweeps: .venv ## Kill and disturb at every write, statement and request, where `test` tries some (an hour)
	SWEEP_EVERY=$(SWEEP_EVERY) .venv/bin/python -m pytest --numprocesses 2 --dist loadfile tests/push tests/sweeps $(ARGS)

lint: .venv ## Check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv ## Mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

docs: .venv ## Build the documentation site in site/
	.venv/bin/python scripts/gather_docs.py
	.venv/bin/zensical build --strict

pictures: .venv ## Make the pictures of real runs in docs/pictures/ again (needs Chromium)
	.venv/bin/python scripts/pictures.py

digests: .venv ## Write the digests of the runner's files into the template
	.venv/bin/python scripts/digests.py

reference: .venv ## Write what the commands take, and the pages of checks, into docs/
	.venv/bin/python scripts/cli_reference.py
	.venv/bin/python scripts/check_pages.py

release: .venv ## Release the template: changelog, commit and tag (VERSION=1.2.3)
	@.venv/bin/python scripts/release.py "$(VERSION)"

clean: ## Remove what the other targets made
	rm -rf .tools .venv uv.lock build site .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: pyproject.toml $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(UV) sync --quiet
	@touch .venv

# A Debian without python3-venv can still install into a folder.
$(CURDIR)/.tools/bin/uv:
	$(PYTHON) -m venv --clear .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check uv || \
	    { rm -rf .tools && $(PYTHON) -m pip install --quiet --target .tools uv; }
