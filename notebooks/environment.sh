# Sourced by the two commands of the README: the virtual environment .venv, with the tested versions.

# A shell started with an empty environment knows a PATH but does not hand it on.
export PATH HOME="${HOME:-$PWD/.home}"

say() {
  echo "ftlab: $*" >&2
}

find_python() {
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  say "Python 3.11 or newer is missing; install it and run this command again."
  exit 1
}

# make_environment REQUIREMENT: installs only when something that is asked for has changed.
make_environment() {
  local python stamp wanted
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    "$python" -m venv .venv 2>/dev/null || {
      rm -rf .venv
      say "Python's venv module is missing; on Debian: apt install python3-venv"
      exit 1
    }
  fi
  stamp=.venv/installed
  wanted="$1 $(cat pyproject.toml binder/constraints.txt | cksum)"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "Installing into .venv; this takes a minute or two the first time."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      -c binder/constraints.txt -e "$1"
    echo "$wanted" >"$stamp"
  fi
}
