#!/bin/sh
# Makes .venv with the pinned packages of requirements.lock and this project in editable mode.
# Fed by: PYTHON (default python3). Feeds: every other target of the Makefile. Never: touches the system's
# packages, except for python3-venv where Debian or Ubuntu left it out.
set -eu

python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "error: no $python here; install Python 3.11 or newer" >&2; exit 1; }
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $python is $version; set PYTHON to Python 3.11 or newer" >&2
    exit 1
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then # missing, or its making was interrupted
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        echo "installing python$version-venv"
        [ "$(id -u)" = 0 ] || { echo "error: python$version-venv is missing; install it as root" >&2; exit 1; }
        apt-get -q update >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "python$version-venv" >/dev/null
    fi
    echo "making .venv with Python $version"
    "$python" -m venv --clear .venv
fi
echo "installing the pinned packages"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
