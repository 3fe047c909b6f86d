#!/usr/bin/env bash
# Creates .venv on first use, then runs an experiment or the tests.
#
# PYTHON=...      interpreter for .venv (any Python >= 3.11)
# VENV=...        folder of the environment (default: .venv beside this file)
# EXTRAS=cuda     extras of pyproject.toml to install, comma-separated
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
venv="${VENV:-$root/.venv}"
[[ "$venv" == /* ]] || venv="$PWD/$venv"
stamp="$venv/installed.toml"  # copy of the installed pyproject.toml
extras_file="$venv/installed.extras"

say() { printf '%s\n' "$*" >&2; }
die() { say "launch.sh: $*"; exit 1; }

usage() {
  printf 'Usage: ./launch.sh COMMAND [--flag=value ...]\n\nCommands\n'
  local file
  for file in "$root"/experiments/[a-z]*.py; do
    printf '  %-20s %s\n' "$(basename "$file" .py)" \
      "$(sed -n '1s/^"*//p' "$file")"
  done
  printf '  %-20s %s\n' test 'Run the tests; arguments are passed to pytest.' \
    help 'Show this text. COMMAND --help shows the flags of a command.'
}

# A name in PATH may be a shim that does not run: query its version.
is_python() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local name
  if [[ -n "${PYTHON:-}" ]]; then
    is_python "$PYTHON" || die "PYTHON=$PYTHON: not a working Python >= 3.11"
    printf '%s' "$PYTHON"
    return
  fi
  for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
    if is_python "$name"; then
      printf '%s' "$name"
      return
    fi
  done
  die 'no Python >= 3.11 found. Install one, or set PYTHON=...'
}

# Runs one step of the installation; on failure, reports the step and its log.
step() {
  local what="$1" log="$venv.log"
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "$what failed: see the messages above, or the full log in $log"
  fi
  rm -f "$log"
}

wanted_extras() { printf '%s\n' "$@" | tr -s ', ' '\n' | sed '/^$/d' | sort -u; }

is_current() {
  [[ -x "$venv/bin/python" && -f "$extras_file" ]] &&
    cmp -s "$root/pyproject.toml" "$stamp" &&
    [[ -z "$(comm -23 <(wanted_extras "$@") "$extras_file")" ]]
}

install() {
  local python extras target
  if [[ ! -x "$venv/bin/python" ]]; then
    python="$(find_python)"
    say "Creating $venv with $("$python" --version) (first use only)"
    if command -v uv >/dev/null; then
      step "creating $venv" uv venv --clear --python "$python" "$venv"
    else
      step "creating $venv" "$python" -m venv --clear "$venv"
    fi
  fi
  extras="$(wanted_extras "$@" "$(cat "$extras_file" 2>/dev/null || true)")"
  target="$root${extras:+[$(tr '\n' ',' <<<"$extras" | sed 's/,*$//')]}"
  say "Installing $target (about a minute)"
  rm -f "$stamp"
  if command -v uv >/dev/null; then
    step "installing $target" \
      uv pip install --python "$venv/bin/python" --editable "$target"
  else
    step "installing $target" \
      "$venv/bin/python" -m pip install --editable "$target"
  fi
  wanted_extras "$extras" >"$extras_file"
  cp "$root/pyproject.toml" "$stamp"
}

# Installs the package with these extras unless they are installed already.
ensure() {
  set -- "${EXTRAS:-}" "$@"
  is_current "$@" && return
  (
    # Concurrent first calls must not install at the same time.
    if command -v flock >/dev/null; then flock 9; fi
    is_current "$@" || install "$@"
  ) 9>"$venv.lock"
}

run() {
  # -P: do not import a folder `experiments` of the current directory.
  PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" \
    exec "$venv/bin/python" -P "$@"
}

command="${1:-help}"
[[ $# -gt 0 ]] && shift
case "$command" in
  help | --help | -h)
    usage
    ;;
  test)
    ensure dev
    cd "$root"
    run -m pytest "$@"
    ;;
  prepare)
    ensure prepare
    run -m experiments.prepare "$@"
    ;;
  *)
    [[ "$command" =~ ^[a-z_]+$ && -f "$root/experiments/$command.py" ]] ||
      die "unknown command '$command'. ./launch.sh help lists all commands."
    ensure
    run -m "experiments.$command" "$@"
    ;;
esac
