# `make demo` and `make test` are all that a fresh clone needs: they make .venv on first use.

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs clean

demo: $(INSTALLED)
	@$(VENV)/bin/backhand tour

test: lint
	$(VENV)/bin/python -m pytest -q -n 2

lint: $(INSTALLED)
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

# The documentation as a site. (The variable silences what the theme has to say of its own future.)
docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "The documentation is in build/site: open build/site/index.html"

# Caches and build output; the environment stays.
clean:
	rm -rf build dist src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written only after everything else went well, so a broken installation is taken up again.
$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing backhand and its tested dependencies into $(VENV) (once; a few minutes)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	@touch $@
