#!/usr/bin/env bash
# Make the virtual environment that every other target uses: check the machine, install the locked packages, install this one.
#
# usage: scripts/setup.sh [VENV]        VENV is .venv unless told; PYTHON=/path/to/python chooses the interpreter.
# Does nothing when the environment is already what the lock and the package's metadata ask for.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="$(realpath -m "${1:-.venv}")"
lock=configs/requirements.lock
stamp="build/setup/$(printf '%s' "$venv" | sha256sum | cut -c1-16).stamp"

usable() { # is this a Python that we support, with what venv needs?
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if usable "$name"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

wanted() { # what the environment depends on, as one digest
    { sed -n '/^\[metadata\]/,/^\[mypy\]/p' setup.cfg; cat "$lock" pyproject.toml "$0"; } | sha256sum | cut -d' ' -f1
}

current() { # is the environment there, unmoved, and made from the same files?
    [[ -f $stamp && "$(cat "$stamp")" == "$(wanted)" ]] && usable "$venv/bin/python" && [[ -x $venv/bin/mpcnode ]]
}

if current; then
    exit 0
fi

if [[ "$(uname -sm)" != "Linux x86_64" ]]; then
    echo "expected Linux x86-64, got $(uname -sm)" >&2
    exit 1
fi
if ! usable "$venv/bin/python" && ! python="$(find_python)"; then
    echo "expected Python 3.11, 3.12 or 3.13 with venv, got none. On Debian or Ubuntu:" >&2
    echo "    sudo apt-get install -y make python3 python3-venv" >&2
    exit 1
fi

export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
SECONDS=0
# a moved environment still names its old place in its scripts
if ! usable "$venv/bin/python" || ! head -n 1 "$venv/bin/pip" | grep -qF "$venv/bin/python"; then
    "${python:-$(find_python)}" -m venv --clear "$venv"
fi
"$venv/bin/python" -m pip install -qq --require-hashes --only-binary :all: -r "$lock"
"$venv/bin/python" -m pip install -qq --no-deps --no-index --no-build-isolation -e .
mkdir -p "$(dirname "$stamp")"
wanted >"$stamp"
echo "environment $venv ready after ${SECONDS} s" >&2
