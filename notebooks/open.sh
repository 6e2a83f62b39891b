#!/usr/bin/env bash
# Installs ftlab with everything it can use into .venv, and opens the first notebook in JupyterLab.
# What follows the command goes to JupyterLab: bash notebooks/open.sh --no-browser --port 8899
set -euo pipefail
cd "$(dirname "$0")/.."
source notebooks/environment.sh
make_environment ".[all]"
[ "$(id -u)" = 0 ] && set -- --allow-root "$@"
exec .venv/bin/jupyter lab notebooks/01_first_run.ipynb "$@"
