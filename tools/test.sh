#!/usr/bin/env bash
# Installs qsim-core with its test extra into a virtual environment of its own and runs every check.
#   bash tools/test.sh [pytest arguments]
# Environment: PYTHON (interpreter, default python3), QSIM_TEST_VENV (where the environment goes, default .venv-test).
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${QSIM_TEST_VENV:-.venv-test}"
"${PYTHON:-python3}" -m venv "$venv"
bin="$venv/bin"
"$bin/python" -m pip install --quiet --upgrade pip
# On Linux x86-64 also the compiler of CUDA kernels, whose PTX the tests run on the CPU; QSIM_TEST_CUDA=0 leaves it out.
extras=test
if [ "${QSIM_TEST_CUDA:-1}" != 0 ] && [ "$(uname -sm)" = "Linux x86_64" ]; then extras=test,test-cuda; fi
# The installed package need not carry compiled kernels for that: the tests compile what they run.
QSIM_CUDA="${QSIM_CUDA:-0}" "$bin/python" -m pip install --quiet ".[$extras]"

echo "== ruff, clang-format, mypy"
"$bin/ruff" check .
"$bin/ruff" format --check .
find cpp -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.cuh' | xargs "$bin/clang-format" --dry-run --Werror
"$bin/mypy"

echo "== pytest"
# The tests meet the installed package, as users do; two workers for two cores.
exec "$bin/python" -m pytest -n "${QSIM_TEST_WORKERS:-2}" "$@"
