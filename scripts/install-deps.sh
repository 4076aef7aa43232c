#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian/Ubuntu packages that are missing for what is to be done:
#
#   scripts/install-deps.sh [build] [test] [sanitize]        (build when nothing is named)
#
# It looks for what each package is wanted for (a header, a command), so a self-built tool counts
# as well as a package, and calls apt-get only if something is missing. Without root it prints the
# one line to run and exits with 1.
set -eu

[ $# -gt 0 ] || set -- build
missing=""
if_known="" # wanted only where the distribution has a package of that name

need() { # need PACKAGE PROBE...: any of the probes is enough
    package=$1
    shift
    for probe in "$@"; do
        case $probe in
        pc:*) pkg-config --exists "${probe#pc:}" 2>/dev/null && return 0 ;;
        py:*) PATH=/usr/bin:$PATH python3 -c "import ${probe#py:}" 2>/dev/null && return 0 ;;
        file:*) [ -e "${probe#file:}" ] && return 0 ;;
        *) command -v "$probe" >/dev/null 2>&1 && return 0 ;;
        esac
    done
    missing="$missing $package"
}

build_packages() {
    need libc6-dev 'file:/usr/include/stdio.h'
    need pkg-config pkg-config
    need meson meson
    need ninja-build ninja
    need libssl-dev 'pc:libssl >= 3.0'
    need libsodium-dev 'pc:libsodium >= 1.0.18'
    need libuv1-dev 'pc:libuv >= 1.44'
    need libprotobuf-c-dev 'pc:libprotobuf-c >= 1.4'
    need protobuf-c-compiler protoc-c
    need protobuf-compiler protoc
    need libedit-dev pc:libedit
    need libcmocka-dev pc:cmocka
    need libjansson-dev 'pc:jansson >= 2.13'
    need ca-certificates 'file:/etc/ssl/certs/ca-certificates.crt'
    # npm fetches the pinned C sources (scripts/deps.sh); no JavaScript of theirs is run.
    need nodejs node
    need npm npm
}

test_packages() {
    need python3 python3
    need python3-cryptography py:cryptography
    need tmux tmux
    need procps ps
    need gdb gdb
    need openssl openssl
}

sanitize_packages() {
    need clang clang
    need llvm llvm-cov
    # The sanitizers' run time: part of clang in older distributions, a package of its own since.
    if [ ! -e "$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a" 2>/dev/null)" ]; then
        if_known="$if_known libclang-rt-dev"
    fi
}

cd "$(dirname "$0")/.."
for group in "$@"; do
    case $group in
    build) build_packages ;;
    test) test_packages ;;
    sanitize) sanitize_packages ;;
    *)
        echo "install-deps: unknown group $group; there are build, test, sanitize" >&2
        exit 2
        ;;
    esac
done
[ -n "$missing$if_known" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: missing, by their Debian names:$missing$if_known" >&2
    echo "install-deps: there is no apt-get here; install what corresponds to them and run again" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install-deps: packages are missing; run this line, then the same command again:" >&2
    echo "  sudo apt-get install -y --no-install-recommends$missing$if_known" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        echo "install-deps: $1 failed (text above); missing are:$missing$if_known" >&2
        exit 1
    }
}
echo "install-deps: missing packages, installing:$missing$if_known"
run apt-get update -q
for package in $if_known; do
    if apt-cache show "$package" >/dev/null 2>&1; then
        missing="$missing $package"
    fi
done
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    run apt-get install -y -q --no-install-recommends $missing
fi
