#!/usr/bin/env bash
# Creates .venv on first use, then runs an experiment or the tests.
#
# PYTHON=...      interpreter for .venv (any Python >= 3.11)
# VENV=...        folder of the environment (default: .venv beside this file)
# EXTRAS=cuda     extras of pyproject.toml to install, comma-separated
# LATEST=1        the newest versions, not those of constraints.txt
# CONSTRAINTS=... another file of versions
set -euo pipefail

unset CDPATH  # `cd` would print what it finds there
self="${BASH_SOURCE[0]}"
while [[ -L "$self" ]]; do
  link="$(readlink -- "$self")"
  [[ "$link" == /* ]] || link="$(dirname -- "$self")/$link"
  self="$link"
done
root="$(cd -P -- "$(dirname -- "$self")" && pwd -P)"
venv="${VENV:-$root/.venv}"
[[ "$venv" == /* ]] || venv="$PWD/$venv"
while [[ "$venv" == */ ]]; do venv="${venv%/}"; done
stamp="$venv/installed.toml"  # the `recipe` that is installed
extras_file="$venv/installed.extras"
block=''  # option of `env` for the command
unfinished="$venv/unfinished"  # exists while the first installation runs

say() { printf '%s\n' "$*" >&2; }
die() { say "launch.sh: $*"; exit 1; }
mistake() { say "launch.sh: $*"; exit 2; }

constraints=''  # file of versions; empty for the newest
if [[ -n "${CONSTRAINTS:-}" ]]; then
  [[ -f "$CONSTRAINTS" ]] ||
    mistake "CONSTRAINTS: got $CONSTRAINTS, expected a file of versions."
  constraints="$CONSTRAINTS"
elif [[ "${LATEST:-0}" == 0 && -f "$root/constraints.txt" ]]; then
  constraints="$root/constraints.txt"
fi

# Prints each command and the first line of its script, if there is one.
list() {
  local name file
  for name in "$@"; do
    file="$root/experiments/$name.py"
    if [[ "$name" == test ]]; then
      printf '  %-20s %s\n' test 'Run the tests; arguments are passed to pytest.'
    elif [[ -f "$file" ]]; then
      printf '  %-20s %s\n' "$name" "$(sed -n '1s/^"*\([^"]*\).*/\1/p' "$file")"
    fi
  done
}

usage() {
  printf 'Usage: ./launch.sh COMMAND [--flag=value ...]\n\n%s\n' "$1"
}

first_steps() {
  usage 'First steps'
  list train evaluate sample compare test
  printf '\n./launch.sh help lists all commands, and %s\n' \
    './launch.sh COMMAND --help the flags of one.'
}

help() {
  local file names=()
  for file in "$root"/experiments/[a-z]*.py; do
    names+=("$(basename "$file" .py)")
  done
  usage 'Commands'
  list "${names[@]}" test
  printf '  %-20s %s\n' docs 'Build the documentation into docs/site.' help \
    'Show this text. COMMAND --help shows the flags of a command.'
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

has_extras() {
  [[ -x "$venv/bin/python" && -f "$extras_file" ]] &&
    [[ -z "$(comm -23 <(wanted_extras "$@") "$extras_file")" ]]
}

# What the installed versions depend on.
recipe() { cat "$root/pyproject.toml" ${constraints:+"$constraints"}; }

is_current() {
  has_extras "$@" || return 1
  recipe | cmp -s - "$stamp" && return
  # What LATEST=1 installed stays until pyproject.toml changes.
  [[ -z "${CONSTRAINTS:-}" ]] && cmp -s "$root/pyproject.toml" "$stamp"
}

# Whether packages can be installed, also if another tool made it.
is_usable() {
  [[ -x "$venv/bin/python" && ! -e "$unfinished" ]] || return 1
  [[ -f "$stamp" || -f "$extras_file" ]] && return
  [[ -f "$venv/pyvenv.cfg" || -d "$venv/conda-meta" ]] || return 1
  command -v uv >/dev/null ||
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    "$venv/bin/python" -m ensurepip >/dev/null 2>&1
}

# Whether the folder may be emptied: it has no file, or is an environment of
# launch.sh, or one without a package but pip, and holds nothing else.
is_replaceable() {
  [[ ! -e "$venv" && ! -L "$venv" ]] && return
  [[ -d "$venv" ]] || return 1
  local entry
  for entry in "$venv"/* "$venv"/.[!.]* "$venv"/..?*; do
    [[ -e "$entry" || -L "$entry" ]] || continue  # a pattern without match
    case "${entry##*/}" in
      bin | include | lib | lib64 | share | etc | pyvenv.cfg) ;;
      .gitignore | .lock | CACHEDIR.TAG | installed.* | unfinished) ;;
      *) return 1 ;;
    esac
  done
  [[ -e "$unfinished" || -f "$extras_file" ]] && return
  if [[ -f "$venv/pyvenv.cfg" ]]; then
    [[ -z "$(find "$venv/" -name '*.dist-info' ! -name 'pip-*' \
      ! -name 'setuptools-*')" ]]
  else
    [[ -z "$(find "$venv/" ! -type d ! -name lib64 ! -name 'python*')" ]]
  fi
}

# The mark stays until everything is installed: what a signal interrupts is
# built anew.
create() {
  local python
  python="$(find_python)"
  say "Creating $venv with $("$python" --version) (first use only)"
  mkdir -p "$venv"
  touch "$unfinished"
  find "$venv/" -mindepth 1 ! -path "$unfinished" -delete
  if command -v uv >/dev/null; then
    step "creating $venv" uv venv --allow-existing --python "$python" "$venv"
  else
    step "creating $venv" "$python" -m venv "$venv"
  fi
}

install() {
  local extras target versions
  extras="$(wanted_extras "$@" "$(cat "$extras_file" 2>/dev/null || true)")"
  is_usable || create
  target="$root${extras:+[$(tr '\n' ',' <<<"$extras" | sed 's/,*$//')]}"
  say "Installing $target (about a minute)"
  rm -f "$stamp"
  if [[ -n "$constraints" ]]; then
    versions=(--constraint "$constraints")
  else
    versions=(--upgrade)
  fi
  if command -v uv >/dev/null; then
    step "installing $target" \
      uv pip install --python "$venv/bin/python" "${versions[@]}" \
      --editable "$target"
  else
    step "installing $target" \
      "$venv/bin/python" -m pip install --upgrade-strategy eager \
      "${versions[@]}" --editable "$target"
  fi
  wanted_extras "$extras" >"$extras_file"
  recipe >"$stamp"
  rm -f "$unfinished"
}

can_write() {
  if [[ -e "$venv" ]]; then [[ -w "$venv" ]] || return 1; fi
  mkdir -p -- "$(dirname -- "$venv")" 2>/dev/null || return 1
  [[ -r "$venv.lock" ]] || { : >"$venv.lock"; } 2>/dev/null
}

# Installs the package with these extras unless they are installed already.
ensure() {
  set -- "${EXTRAS:-}" "$@"
  is_current "$@" && return
  is_usable || is_replaceable ||
    mistake "VENV: got $venv, which holds other files or no working Python;" \
      'expected an environment, or a new or empty folder. Nothing was changed.'
  if can_write; then
    (
      # Concurrent first calls must not install at the same time.
      if command -v flock >/dev/null; then flock 9; fi
      is_current "$@" || install "$@"
    ) 9<"$venv.lock"
  elif has_extras "$@" && [[ -f "$stamp" ]]; then
    say "launch.sh: using $venv as it is, since you may not write there, but" \
      'pyproject.toml or constraints.txt has changed since. VENV=... makes one of your own.'
  else
    mistake "VENV: got $venv, where you may not write and which has not" \
      "all that '$command' needs. Name a folder of your own with VENV=..."
  fi
}

run() {
  # -P: do not import a folder `experiments` of the current directory.
  PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" \
    exec ${block:+env "$block"} "$venv/bin/python" -P "$@"
}

# Blocks Ctrl-C until `experiments` handles it: while Python starts, it would
# print a traceback. Not every `env` can.
run_experiment() {
  local module="experiments.$1"
  shift
  block=--block-signal=INT
  env "$block" true 2>/dev/null || block=''
  run -m "$module" "$@"
}

command="${1:-}"
[[ $# -gt 0 ]] && shift
case "$command" in
  '')
    first_steps
    ;;
  help | --help | -h)
    help
    ;;
  test)
    ensure dev experiments
    cd "$root"
    run -m pytest "$@"
    ;;
  docs)
    ensure docs
    export NO_MKDOCS_2_WARNING=1  # an advertisement
    run -m mkdocs build --strict --config-file "$root/docs/mkdocs.yml" "$@"
    ;;
  prepare)
    ensure prepare experiments
    run_experiment prepare "$@"
    ;;
  compress)
    ensure compress experiments
    run_experiment compress "$@"
    ;;
  *)
    [[ "$command" =~ ^[a-z_]+$ && -f "$root/experiments/$command.py" ]] ||
      mistake "unknown command '$command'. ./launch.sh help lists all commands."
    ensure experiments
    run_experiment "$command" "$@"
    ;;
esac
