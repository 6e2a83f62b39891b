#!/usr/bin/env bash
# Installs what the tests need and runs them all: style, types, tests, notebooks, browser.
#   bash tests/run.sh                 everything
#   bash tests/run.sh --installed     the same without installing anything
#   bash tests/run.sh -k spec -x      what follows goes to pytest
set -euo pipefail
cd "$(dirname "$0")/.."
source notebooks/environment.sh

install_chromium() {
  command -v chromium >/dev/null && return
  local root=""
  [ "$(id -u)" = 0 ] || root=sudo
  say "Installing Chromium from the distribution's packages."
  { $root apt-get update -q && $root apt-get install -y -q --no-install-recommends \
    chromium fonts-dejavu-core; } >/dev/null || {
    say "Chromium is missing and could not be installed; on Debian: apt install chromium"
    exit 1
  }
}

# The hosted service's own checks of a file, today's and the last one that looked into rows: two
# versions of one package, so each in a folder of its own, where only the test of verdicts sees it.
install_oracles() {
  local version folder
  for version in 3.1.1 2.14.0; do
    folder=.venv-oracles/together-$version
    [ -d "$folder/together" ] && continue
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
      --target "$folder" "together==$version"
  done
  # Whose own checks the recipes that we write must pass.
  folder=.venv-oracles/nemo-automodel-0.7.0
  [ -d "$folder/nemo_automodel" ] || .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --no-deps --target "$folder" \
    nemo-automodel==0.7.0 torchao==0.18.0 torchdata==0.11.0 pillow==13.0.0
  folder=.venv-oracles/axolotl-0.19.0
  [ -d "$folder/axolotl" ] || .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --no-deps --target "$folder" \
    axolotl==0.19.0 addict==2.4.0 colorama==0.4.6 pillow==13.0.0
  # Which writes event files, and reads them for a comparison.
  folder=.venv-oracles/tensorboard-2.21.0
  [ -d "$folder/tensorboard" ] || .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --no-deps --target "$folder" \
    tensorboard==2.21.0 protobuf==7.36.2 absl-py==2.5.1
  # In which runs are mirrored. MLflow's database would need 50 MB more; its file store does not.
  folder=.venv-oracles/trackers
  [ -d "$folder/trackio" ] || .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --no-deps --target "$folder" \
    wandb==0.31.0 mlflow-skinny==3.17.2 trackio==0.43.0 tensorboard==2.21.0 protobuf==7.36.2 \
    absl-py==2.5.1 opentelemetry-api==1.45.2 opentelemetry-sdk==1.45.2 \
    opentelemetry-proto==1.45.2 opentelemetry-semantic-conventions==0.66b2 cachetools==8.0.1 \
    cloudpickle==3.1.2 databricks-sdk==0.162.0 fastapi==0.165.0 importlib-metadata==10.2.0 \
    sqlparse==0.6.1 brotli==1.2.1 gradio-client==2.7.2 pillow==12.3.0 \
    python-multipart==0.0.34 starlette==1.10.0 uvicorn==0.54.0
  # Whose scores of the same rows ours are held against, and rouge-score's, which it needs.
  folder=.venv-oracles/lm-eval-0.4.13
  [ -d "$folder/lm_eval" ] || .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --no-deps --target "$folder" \
    lm-eval==0.4.13 rouge-score==0.1.2 nltk==3.10.4 absl-py==2.5.1 evaluate==0.4.6 \
    sacrebleu==2.6.0 lxml==6.1.3 portalocker==4.4.2 tabulate==0.10.0 colorama==0.4.6 \
    scikit-learn==1.9.1 scipy==1.17.1 joblib==1.6.0 threadpoolctl==3.8.0 \
    pytablewriter==1.2.1 dataproperty==1.1.1 mbstrdecoder==1.1.5 pathvalidate==3.3.1 \
    tabledata==1.3.5 tcolorpy==0.1.7 typepy==2.0.0 chardet==7.7.0 \
    sqlitedict==2.1.0 word2number==1.1 more-itertools==11.2.1
  # Whose formula for the learning rate ours is held against.
  folder=.venv-oracles/tinker-cookbook
  [ -d "$folder/tinker_cookbook" ] || .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --no-deps --target "$folder" "tinker-cookbook==0.6.1"
}

if [ "${1:-}" = --installed ]; then
  shift
else
  make_environment ".[test]"
  install_oracles
  install_chromium
fi
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
pyright --project pyproject.toml
# Two at a time, each file's tests in one process; much of their time is waiting.
spread=(-n 2 --dist loadfile)
# The tests may reach nothing but this machine: without a network where the system allows it.
if unshare --net true 2>/dev/null; then
  exec unshare --net python tests/offline.py python -m pytest "${spread[@]}" "$@"
fi
exec python -m pytest "${spread[@]}" "$@"
