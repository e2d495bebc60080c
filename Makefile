# `make demo` and `make test` are all that a fresh clone needs: they make .venv on first use.

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs browser clean

demo: $(INSTALLED)
	@$(VENV)/bin/backhand tour

test: lint browser
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal

lint: $(INSTALLED)
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

# The documentation as a site. (The variable silences what the theme has to say of its own future.)
docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "The documentation is in build/site: open build/site/index.html"

# Tests open pages in the system's Chromium or Chrome. Where there is none this installs one, which
# needs root or sudo; where there is one it does nothing.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null 2>&1 && exit 0; done; \
	if ! command -v apt-get >/dev/null 2>&1; then \
		echo "The tests open pages in a browser: install one of $(BROWSERS)" >&2; exit 1; \
	fi; \
	echo "Installing the system package chromium, in which the tests open pages"; \
	if [ "$$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi; \
	$$as_root apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq --no-install-recommends chromium

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
