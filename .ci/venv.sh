# Sourced by ./cenote, ./check and .ci/run: makes a virtual environment fit for the tree.
#
# A stamp inside the environment holds the digest of what was installed, so a second call costs
# nothing. An environment that somebody else made (no stamp) is used as it is.

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local name
  for name in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
    if command -v "$name" >/dev/null 2>&1 &&
      "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "no Python 3.11 or newer: installing Debian's"
    apt-get update -q >&2 && apt-get install -yq --no-install-recommends python3 python3-venv >&2
    command -v python3
    return 0
  fi
  say "cenote needs Python 3.11 or newer (on Debian: apt-get install python3 python3-venv)"
  return 1
}

# ensure_venv DIR EXTRAS: DIR holds cenote, editable, with the extras ("" or "dev" or "dev,e2e").
ensure_venv() {
  local dir=$1 extras=$2 python want
  want="$extras $(cat pyproject.toml constraints.txt | sha256sum)"
  if [ -x "$dir/bin/python" ]; then
    [ -e "$dir/.cenote-stamp" ] || return 0
    [ "$(cat "$dir/.cenote-stamp")" = "$want" ] && return 0
  else
    python=$(find_python)
    say "making $dir with $python"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "$python cannot make virtual environments: installing Debian's python3-venv"
        apt-get update -q >&2 && apt-get install -yq --no-install-recommends python3-venv >&2
      else
        say "$python cannot make virtual environments (on Debian, as root: apt-get install python3-venv)"
        return 1
      fi
    fi
    "$python" -m venv "$dir"
  fi
  say "installing cenote${extras:+ and its tools} into $dir"
  "$dir/bin/python" -m pip install -q --disable-pip-version-check \
    -c constraints.txt -e ".${extras:+[$extras]}" >&2
  printf '%s' "$want" >"$dir/.cenote-stamp"
}
