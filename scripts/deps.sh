#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the pinned C sources that the distribution lacks or has too old, once per flavour:
#
#   scripts/deps.sh [plain] [asan] [tsan]          (plain when nothing is named)
#
#   .deps/include/sqlcipher/sqlite3.h   SQLCipher 4 (@journeyapps/sqlcipher, C amalgamation only)
#   .deps/include/mlkem/mlkem*.h        ML-KEM 768 and 1024 (PQClean's portable C)
#   .deps/FLAVOUR/libsqlcipher.a, libmlkem.a
#
# The sources come with npm, held to scripts/deps/package-lock.json by SHA-512; no script of any
# package runs. A library is rebuilt only when its sources, flags or compiler change. The lock lets
# two builds in one tree wait for each other.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/.deps
src=$out/npm
[ $# -gt 0 ] || set -- plain

mkdir -p "$out"
exec 9>"$out/lock"
flock 9

say() { printf 'deps: %s\n' "$*"; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }

fetch_sources() {
    want=$(cat "$root/scripts/deps/package.json" "$root/scripts/deps/package-lock.json" |
        sha256sum | cut -c1-64)
    if [ "$(cat "$src/stamp" 2>/dev/null || true)" = "$want" ]; then
        return 0
    fi
    command -v npm >/dev/null || die "npm is missing; run scripts/install-deps.sh"
    say "fetching the pinned C sources (npm ci, checksums from scripts/deps/package-lock.json)"
    rm -rf "$src.new"
    mkdir -p "$src.new"
    cp "$root/scripts/deps/package.json" "$root/scripts/deps/package-lock.json" "$src.new/"
    (cd "$src.new" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1) || {
        cat "$src.new/npm.log" >&2
        die "npm could not fetch the sources (text above); check the network and run it again"
    }
    printf '%s\n' "$want" >"$src.new/stamp"
    rm -rf "$src"
    mv "$src.new" "$src"
}

# Header names of our own, so that a system's sqlite3.h is never taken by accident.
install_headers() {
    inc=$out/include
    mkdir -p "$inc/sqlcipher" "$inc/mlkem"
    put "$sqlcipher_src/sqlite3.h" "$inc/sqlcipher/sqlite3.h"
    for k in 768 1024; do
        put "$pqclean_src/crypto_kem/ml-kem-$k/clean/api.h" "$inc/mlkem/mlkem$k.h"
    done
}

# Copies only what differs: an unchanged header must not rebuild the tree.
put() { cmp -s "$1" "$2" || cp "$1" "$2"; }

flavour_flags() {
    case $1 in
    plain) cc=${CC:-gcc} flags="-O2 -fstack-protector-strong" ;;
    asan) cc=clang flags="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined" ;;
    tsan) cc=clang flags="-O1 -g -fno-omit-frame-pointer -fsanitize=thread" ;;
    *) die "unknown flavour $1; there are plain, asan, tsan" ;;
    esac
    command -v "${cc%% *}" >/dev/null || die "$cc is missing; run scripts/install-deps.sh"
    flags="$flags -std=gnu17 -fPIC -fvisibility=hidden -w"
}

# stamp_of FILES-STAMP FLAGS: what the library is made from, as one hash.
stamp_of() { printf '%s|%s|%s\n' "$(cat "$src/stamp")" "$($cc --version | head -n1)" "$1" | sha256sum; }

sqlcipher_defines="-DNDEBUG -DHAVE_STDINT_H=1 -DHAVE_FDATASYNC=1 -DSQLITE_HAS_CODEC -DSQLITE_TEMP_STORE=2
    -DSQLITE_EXTRA_INIT=sqlcipher_extra_init -DSQLITE_EXTRA_SHUTDOWN=sqlcipher_extra_shutdown
    -DSQLCIPHER_CRYPTO_OPENSSL -DSQLITE_ENABLE_FTS5 -DSQLITE_THREADSAFE=2 -DSQLITE_DQS=0
    -DSQLITE_DEFAULT_SYNCHRONOUS=2 -DSQLITE_DEFAULT_WAL_SYNCHRONOUS=2 -DSQLITE_USE_URI=0
    -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_SECURE_DELETE -DSQLITE_OMIT_DEPRECATED
    -DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS"

build_sqlcipher() {
    dir=$out/$1
    want=$(stamp_of "$flags $sqlcipher_defines")
    [ "$(cat "$dir/sqlcipher.stamp" 2>/dev/null || true)" != "$want" ] || return 0
    say "building SQLCipher ($1), about a minute, once"
    work=$dir/work-sqlcipher
    rm -rf "$work" "$dir/sqlcipher.stamp"
    mkdir -p "$work"
    # shellcheck disable=SC2086
    $cc $flags $sqlcipher_defines -I"$sqlcipher_src" -c "$sqlcipher_src/sqlite3.c" -o "$work/sqlite3.o"
    ar rcs "$work/lib.a" "$work/sqlite3.o"
    mv "$work/lib.a" "$dir/libsqlcipher.a"
    printf '%s\n' "$want" >"$dir/sqlcipher.stamp"
    rm -rf "$work"
}

# Its states come from malloc(), and without memory it ends the process: src/crypto/kem.c has them.
keccak_defines="-Dmalloc=sotto_keccak_take -Dfree=sotto_keccak_give"

build_mlkem() {
    dir=$out/$1
    want=$(stamp_of "$flags mlkem $keccak_defines")
    [ "$(cat "$dir/mlkem.stamp" 2>/dev/null || true)" != "$want" ] || return 0
    say "building ML-KEM ($1)"
    work=$dir/work-mlkem
    rm -rf "$work" "$dir/mlkem.stamp"
    mkdir -p "$work"
    for k in 768 1024; do
        for f in "$pqclean_src/crypto_kem/ml-kem-$k/clean/"*.c; do
            # shellcheck disable=SC2086
            $cc $flags -I"$pqclean_src/common" -c "$f" -o "$work/$k-$(basename "$f" .c).o"
        done
    done
    # shellcheck disable=SC2086
    $cc $flags $keccak_defines -I"$pqclean_src/common" -c "$pqclean_src/common/fips202.c" \
        -o "$work/fips202.o"
    ar rcs "$work/lib.a" "$work"/*.o
    mv "$work/lib.a" "$dir/libmlkem.a"
    printf '%s\n' "$want" >"$dir/mlkem.stamp"
    rm -rf "$work"
}

fetch_sources
sqlcipher_src=$src/node_modules/@journeyapps/sqlcipher/deps/sqlcipher-amalgamation
pqclean_src=$src/node_modules/pqclean/deps/PQClean
install_headers
for flavour in "$@"; do
    flavour_flags "$flavour"
    mkdir -p "$out/$flavour"
    build_mlkem "$flavour"
    build_sqlcipher "$flavour"
done
