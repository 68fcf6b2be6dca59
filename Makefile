# 每个目标都自己准备环境，不用先激活虚拟环境。| Every target prepares the environment itself; nothing to activate.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format bench clean

help: ## 列出所有目标 | list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## 建好 .venv/，装齐锁定的版本 | make .venv/ with everything that is pinned

# The stamp comes last, so an installation that was cut off starts again where pip left it.
$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "找不到 $(PYTHON)：先装 Python 3.11 或更新的版本。| $(PYTHON) is missing: install Python 3.11 or newer." >&2; exit 3; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "轻调要 Python 3.11 以上，$(PYTHON) 是 `$(PYTHON) -V 2>&1`；换一个：make install PYTHON=python3.12" >&2; \
		echo "Qingtiao needs Python 3.11 or newer; name another one: make install PYTHON=python3.12" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "缺 venv：在 Debian/Ubuntu 上 apt install python3-venv。| venv is missing: apt install python3-venv." >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar off -r requirements.lock
	$(BIN)/python -m pip install --no-build-isolation --no-deps -e .
	@touch $@

demo: install ## 完整跑一遍：审计 → LoRA → 报告 → bundle | the main job: audit, LoRA, report, bundle
	$(BIN)/qingtiao demo

# One thread a worker: two workers with two threads each fight over two cores.
test: install ## 全部快测试，不联网 | every quick test, no network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: install ## 断电、长跑、浏览器测试 | the kill, soak and browser suites
	$(BIN)/python -m pytest -m slow

lint: install ## 格式、规则、类型、分层 | format, rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## 按规则改写代码 | rewrite the code to the rules
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A benchmark is a script, or a folder with a run.py.
bench: install ## 跑 benchmarks/ 里的每个脚本 | run every script in benchmarks/
	@set -e; for script in benchmarks/*.py benchmarks/*/run.py; do \
		test -f "$$script" || { echo "benchmarks/ 里没有脚本。| There is no script in benchmarks/." >&2; exit 1; }; \
		echo "== $$script"; $(BIN)/python "$$script"; \
	done

clean: ## 删掉能重新生成的东西（runs/ 和 .venv/ 留着）| remove what can be made again; runs/ and .venv/ stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -exec rm -rf {} +
