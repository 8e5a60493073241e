#!/bin/sh
# Make the hashed locks anew, from what the distributions ask for. Needs uv (pip install uv), only here.
# uv.lock itself is not kept: it names hosts. The exported files do not, and pip alone can install from them.
set -eu
cd "$(dirname "$0")/.."
uv="${UV:-uv}"
command -v "$uv" >/dev/null || { echo "uv is not here; try: pip install uv, or make lock UV=/path/to/uv" >&2; exit 1; }

export_to() {
    file="requirements/$1.txt"
    shift
    "$uv" export --quiet --frozen --no-emit-workspace --no-header --format requirements-txt --output-file "$file" "$@" >/dev/null
    if grep -n '://' "$file"; then echo "$file names a host" >&2; exit 1; fi
    echo "$file: $(grep -c '==' "$file") packages"
}

# shellcheck disable=SC2086  # several words on purpose: make lock UPGRADE="--upgrade-package aiohttp"
"$uv" lock --quiet ${UPGRADE:-}
export_to dev --all-packages --all-groups --all-extras                            # what .venv has for work and tests
export_to run --all-packages --no-default-groups --extra postgres --group build   # what `make demo` needs
export_to kit --package talkwire --no-default-groups --extra testing --extra postgres # what a plugin's author gets
export_to wheels --all-packages --no-default-groups --extra testing --extra postgres  # what CI puts our wheels beside
