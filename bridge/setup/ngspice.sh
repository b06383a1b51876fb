# Part of install.sh (sourced): makes sure that an ngspice library of at least 42 is there.
#
# In this order: one that is already on the machine; the system's package, given root or a sudo without a
# password; else a package downloaded from the mirror that this machine's own apt is configured with and
# unpacked into .ngspice, which needs no root and changes nothing outside the project's folder.
# apt checks the signatures of what it downloads, as ever.
# shellcheck shell=sh

NGSPICE_MINIMUM=42
NGSPICE_HOME=$ROOT/.ngspice
NGSPICE_LINE="sudo apt-get install libngspice0 ngspice"
OTHER_WAYS="build ngspice $NGSPICE_MINIMUM or newer from source with --with-ngshared, and set TELLEGEN_NGSPICE to its library"

library_found() { "$VENV/bin/python" -c 'import sys; from bridge.ngspice.library import main; sys.exit(main())'; }

# new_enough VERSION: a Debian version such as 44.2+ds-1 or 1:46-2 against the minimum.
new_enough() {
    major=${1#*:}
    major=${major%%[!0-9]*}
    [ -n "$major" ] && [ "$major" -ge "$NGSPICE_MINIMUM" ]
}

ensure_ngspice() {
    sweep
    [ ! -d "$NGSPICE_HOME/root" ] || adjust_unpacked "$NGSPICE_HOME"
    if [ -n "${TELLEGEN_NGSPICE:-}" ]; then
        library_found >/dev/null || exit 2
        return 0
    fi
    # From here on only what is wrong is worth a word: the library is looked for again at the end.
    ! library_found >/dev/null 2>&1 || return 0
    if have apt-get; then
        from_apt
    elif have brew; then
        say "installing ngspice: brew install libngspice ngspice"
        quietly brew install libngspice ngspice || die "brew failed, see above: brew install libngspice ngspice"
    else
        library_found || exit 2 # its message names this machine's install line
    fi
    library_found >&2 || exit 2
}

# --- Debian, Ubuntu and what derives from them -------------------------------------------------------
from_apt() {
    candidate=$(apt_candidate libngspice0)
    if [ -z "$candidate" ] && can_root; then
        apt_update
        candidate=$(apt_candidate libngspice0)
    fi
    if new_enough "$candidate"; then
        if can_root; then
            say "installing ngspice $candidate: apt-get install libngspice0 ngspice"
            apt_install libngspice0 ngspice && return 0
            apt_update # lists that name a file the mirror no longer has
            apt_install libngspice0 ngspice || die "apt-get failed, see above; then: $NGSPICE_LINE"
            return 0
        fi
        say "no root here (to install ngspice for the whole system: $NGSPICE_LINE)"
    fi
    mkdir -p "$NGSPICE_HOME" || die "cannot write to $ROOT: $NGSPICE_LINE"
    WORK=$NGSPICE_HOME/new.$$
    trap 'rm -rf "$WORK"' EXIT
    trap 'exit 130' INT TERM HUP
    mkdir "$WORK"
    unpack_from_mirror
    rm -rf "$WORK"
    trap - EXIT INT TERM HUP
}

# What an interrupted set-up left behind, unless another one is still at work on it.
sweep() {
    for left in "$NGSPICE_HOME"/new.*; do
        [ ! -d "$left" ] || kill -0 "${left##*.}" 2>/dev/null || rm -rf "$left"
    done
}

# private_apt NAME: a configuration file for an apt whose lists, archives and state are in $WORK/NAME, so
# that it works without root; prints the file's name.
private_apt() {
    here=$WORK/$1
    mkdir -p "$here/lists/partial" "$here/cache/archives/partial" "$here/parts"
    printf '%s "%s";\n' Dir::State "$here" Dir::State::lists "$here/lists" \
        Dir::Cache "$here/cache" Dir::Cache::archives "$here/cache/archives" \
        Dir::State::status /var/lib/dpkg/status APT::Sandbox::User '' Debug::NoLocking 1 \
        Acquire::Languages none APT::Update::Error-Mode any >"$here/apt.conf"
    echo "$here/apt.conf"
}

# mirror_of CONFIGURATION: "URI SUITE COMPONENT" of where this machine's apt finds libngspice0.
mirror_of() {
    LC_ALL=C apt-cache -c "$1" madison libngspice0 2>/dev/null |
        awk -F' *[|] *' '{ split($3, f, " "); n = split(f[2], s, "/"); c = s[n]; sub("/" c "$", "", f[2]);
                           if (f[2] !~ /-(updates|security|backports|proposed)$/) { print f[1], f[2], c; exit } }'
}

# The archive's keyring for a source line, where the distribution keeps it apart from apt's own folder.
signed_by() {
    for ring in "/usr/share/keyrings/$1-archive-keyring.pgp" "/usr/share/keyrings/$1-archive-keyring.gpg"; do
        if [ -r "$ring" ]; then
            echo "signed-by=$ring "
            return
        fi
    done
}

unpack_from_mirror() {
    say "looking for a newer ngspice on this machine's own package mirror"
    system=/dev/null # adds nothing to the configuration: the system's own lists
    mirror=$(mirror_of "$system")
    if [ -z "$mirror" ]; then
        system=$(private_apt system)
        quietly apt-get -c "$system" update || :
        mirror=$(mirror_of "$system")
    fi
    [ -n "$mirror" ] || die "this machine's package mirror is out of reach or offers no ngspice: $NGSPICE_LINE; or $OTHER_WAYS"
    # shellcheck disable=SC2086
    set -- $mirror
    suites=$2
    new_enough "$(apt_candidate libngspice0 -c "$system")" || suites="$2 $2-backports"
    id=$(. /etc/os-release && echo "$ID")
    conf=$(private_apt mirror)
    printf '%s "%s";\n' Dir::Etc::sourcelist "$WORK/mirror/sources.list" \
        Dir::Etc::sourceparts "$WORK/mirror/parts" >>"$conf"
    for suite in $suites; do
        echo "deb [$(signed_by "$id")target=Packages] $1 $suite $3"
    done >"$WORK/mirror/sources.list"
    quietly apt-get -c "$conf" update || :

    last=${suites##* }
    offered=$(apt_candidate libngspice0 -c "$conf" -o "APT::Default-Release=$last")
    new_enough "$offered" ||
        die "this system's mirror offers ngspice ${offered:-of no version}, $NGSPICE_MINIMUM is needed: $OTHER_WAYS"
    say "downloading ngspice $offered from $last into .ngspice"
    # The resolver names what this machine lacks besides; if it cannot (broken packages), the two alone.
    archives=$WORK/mirror/cache/archives
    apt-get -c "$conf" -q -y -t "$last" --no-install-recommends --download-only --reinstall \
        install libngspice0 ngspice >"$WORK/log" 2>&1 ||
        (cd "$archives" && quietly apt-get -c "$conf" -q -t "$last" download libngspice0 ngspice) ||
        die "the download failed, see above; again with: make setup"
    mkdir "$WORK/root" "$WORK/bin"
    for package in "$archives"/*.deb; do dpkg-deb -x "$package" "$WORK/root"; done
    rm -rf "$WORK/root/usr/share/doc" "$WORK/root/usr/share/man" "$WORK/root/usr/share/locale"
    ls "$WORK"/root/usr/lib/*/libngspice.so.0 >/dev/null 2>&1 || die "the package holds no libngspice.so.0"
    program_wrapper >"$WORK/bin/ngspice"
    chmod 755 "$WORK/bin/ngspice"
    # Into place last, the library by one rename: a kill before it leaves nothing that would be found.
    rm -rf "$NGSPICE_HOME/root" "$NGSPICE_HOME/bin"
    mv "$WORK/bin" "$NGSPICE_HOME/bin"
    adjust_unpacked "$WORK" "$NGSPICE_HOME"
    mv "$WORK/root" "$NGSPICE_HOME/root"
}

# adjust_unpacked HOME [FINAL]: the unpacked spinit names code models where a system installation has
# them; it must name them below FINAL (default HOME), also after the project's folder was moved.
adjust_unpacked() {
    spinit=$1/root/usr/share/ngspice/scripts/spinit
    [ -f "$spinit" ] || return 0
    folder=$(cd "$1" && ls -d root/usr/lib/*/ngspice 2>/dev/null | head -n 1)
    rewrite_spinit "$spinit" "${2:-$1}/$folder"
}

# rewrite_spinit FILE FOLDER: every code model and OSDI file that FILE loads is the one in FOLDER.
rewrite_spinit() {
    target=$(printf '%s' "$2" | sed 's/[&|\\]/\\&/g')
    name='[[:space:]]\{1,\}\).*/\([^/]*\)$'
    sed -e "s|^\([[:space:]]*codemodel$name|\1$target/\2|" -e "s|^\([[:space:]]*osdi$name|\1$target/\2|" \
        "$1" >"$1.new"
    if cmp -s "$1" "$1.new"; then rm -f "$1.new"; else mv "$1.new" "$1"; fi
}

# The program with the libraries, code models and scripts that were unpacked with it, wherever that is.
program_wrapper() {
    cat <<'EOF'
#!/bin/sh
home=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
for folder in "$home"/root/usr/lib/*-linux-gnu* "$home"/root/lib/*-linux-gnu*; do
    [ ! -d "$folder" ] || LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
SPICE_LIB_DIR=$home/root/usr/share/ngspice
SPICE_SCRIPTS=$SPICE_LIB_DIR/scripts
export LD_LIBRARY_PATH SPICE_LIB_DIR SPICE_SCRIPTS
exec "$home/root/usr/bin/ngspice" "$@"
EOF
}
