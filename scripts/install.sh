#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scripts/install.sh install|uninstall, with PREFIX and DESTDIR in the environment.
# A list of what was installed is installed too, so that removing needs neither the build folder
# nor a guess.
set -eu

cd "$(dirname "$0")/.."
PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
list=$PREFIX/share/sotto/installed-files

case $PREFIX in
/*) ;;
*)
    echo "install: PREFIX has to be an absolute path, not $PREFIX" >&2
    exit 2
    ;;
esac

configured_prefix() {
    meson introspect --buildoptions build |
        python3 -c 'import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))'
}

do_install() {
    if [ "$(configured_prefix)" != "$PREFIX" ]; then
        meson configure build "-Dprefix=$PREFIX"
        ninja -C build programs
    fi
    DESTDIR=$DESTDIR meson install -C build --no-rebuild --quiet
    mkdir -p "$DESTDIR$PREFIX/share/sotto"
    {
        grep -v '^#' build/meson-logs/install-log.txt | while IFS= read -r file; do
            if [ ! -d "$file" ] || [ -L "$file" ]; then
                echo "${file#"$DESTDIR"}"
            fi
        done
        echo "$list"
    } >"$DESTDIR$list"
    if [ -z "$DESTDIR" ] && [ "$(id -u)" -eq 0 ]; then
        ldconfig
    fi
    echo "installed:"
    sed "s|^|  $DESTDIR|" "$DESTDIR$list"
}

do_uninstall() {
    if [ ! -f "$DESTDIR$list" ]; then
        echo "uninstall: nothing is installed below $DESTDIR$PREFIX (there is no $DESTDIR$list)" >&2
        exit 1
    fi
    while IFS= read -r file; do
        case $file in
        "$PREFIX"/*) rm -f "$DESTDIR$file" && echo "removed $DESTDIR$file" ;;
        esac
    done <"$DESTDIR$list"
    for dir in include/sotto share/sotto share/doc/sotto; do
        rmdir "$DESTDIR$PREFIX/$dir" 2>/dev/null || true
    done
    if [ -z "$DESTDIR" ] && [ "$(id -u)" -eq 0 ]; then
        ldconfig
    fi
    echo
    echo "All data is still there: each person's messages and keys in ~/.local/share/sotto, a relay's"
    echo "accounts, certificates and mailboxes in the folder that it was started with (--data)."
}

case ${1:-} in
install) do_install ;;
uninstall) do_uninstall ;;
*)
    echo "usage: scripts/install.sh install|uninstall" >&2
    exit 2
    ;;
esac
