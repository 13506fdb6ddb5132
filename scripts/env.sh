# shellcheck shell=bash
# Sourced by the scripts beside it: sets `root`, the checkout, and has `make_env EXTRA`, which sets
# `python` to that of `venv` (<root>/.venv unless a script says otherwise), with fastbp (editable)
# and its extra EXTRA installed.

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$root/.venv"

# Whatever these say, nothing but `venv` is read from or installed into.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX
export PIP_USER=0

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Python 3.10 or newer that can make a virtual environment. Being on PATH is not enough: pyenv's
# shims are there for versions that don't run.
usable_python() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
    local name
    if [[ -n "${PYTHON:-}" ]]; then
        usable_python "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.10 or newer with venv"
        printf '%s\n' "$PYTHON"
        return
    fi
    for name in python3.14 python3.13 python3.12 python3.11 python3.10 python3; do
        if usable_python "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    die "found no Python 3.10 or newer with its venv module (Debian, Ubuntu: apt install" \
        "python3-venv); set PYTHON to one"
}

make_env() {
    local extra="$1" base log stamp key
    local prefix='import sys; print(sys.base_prefix)'
    if [[ ! -e "$venv" ]]; then
        base="$(find_python)"
        echo "Making ${venv##*/} with $("$base" --version)"
        "$base" -m venv "$venv"
    fi
    python="$venv/bin/python"
    [[ ! -d "$venv/Scripts" ]] || python="$venv/Scripts/python" # Windows
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        die "$venv has no Python 3.10 or newer that runs; remove it and start this again"
    if [[ -n "${PYTHON:-}" && "$("$PYTHON" -c "$prefix")" != "$("$python" -c "$prefix")" ]]; then
        die "$venv was made with another Python than PYTHON=$PYTHON; remove it and start this again"
    fi
    # Installed once for this pyproject.toml and place; later runs need no network.
    stamp="$venv/.fastbp-$extra"
    key="$(cksum <"$root/pyproject.toml") $root"
    if [[ ! -f "$stamp" || "$(<"$stamp")" != "$key" ]]; then
        # One made without pip (by uv, say), or whose making was cut short
        "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
        log="$venv/install-$extra.log"
        echo "Installing fastbp[$extra] into ${venv##*/} (the first time this fetches packages) ..."
        # From the root, as a path in brackets would not survive spaces in all versions of pip
        if ! (cd -- "$root" && "$python" -m pip install --disable-pip-version-check \
            --no-input --prefer-binary -e ".[$extra]") >"$log" 2>&1; then
            tail -n 15 -- "$log" >&2
            die "could not install; all of it is in $log." \
                "If a package has no wheel for $("$python" --version) yet, remove ${venv##*/} and set" \
                "PYTHON to an older one."
        fi
        printf '%s\n' "$key" >"$stamp"
    fi
}
