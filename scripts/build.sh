#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sets up and builds one of the build folders; installs nothing:
#
#   scripts/build.sh FLAVOUR [NINJA TARGET]...       (everything when no target is named)
#
#   plain  build/        what gets installed, and what make test runs
#   asan   build-asan/   AddressSanitizer and UndefinedBehaviorSanitizer (clang)
#   tsan   build-tsan/   ThreadSanitizer (clang)
#   fuzz   build-fuzz/   the libFuzzer programs, with both of asan's sanitizers (clang)
#   cov    build-cov/    the fuzz targets' corpus replay, counting lines (clang)
#
# In folders that this script sets up a warning of some newer compiler stops nobody, unless
# SOTTO_WERROR=true (.ci/run sets it).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
flavour=${1:?usage: scripts/build.sh plain|asan|tsan|fuzz|cov [TARGET]...}
shift

deps=plain
dir=build-$flavour
sanitizer="-Doptimization=1 -Ddebug=true -Db_lundef=false"
counting=""
case $flavour in
plain) dir=build cc=${CC:-gcc} options="" ;;
asan) deps=asan cc=clang options="$sanitizer -Db_sanitize=address,undefined" ;;
tsan) deps=tsan cc=clang options="$sanitizer -Db_sanitize=thread" ;;
fuzz) deps=asan cc=clang options="$sanitizer -Db_sanitize=address,undefined -Dfuzz=true" ;;
cov)
    cc=clang options="-Doptimization=0 -Ddebug=true"
    counting="-fprofile-instr-generate -fcoverage-mapping"
    ;;
*)
    echo "build: unknown flavour $flavour; there are plain, asan, tsan, fuzz, cov" >&2
    exit 2
    ;;
esac
options="$options -Ddeps_flavour=$deps -Dlibdir=lib"

scripts/deps.sh "$deps"

# What counts lines leaves a file where it ran, unless told not to.
export LLVM_PROFILE_FILE=/dev/null

# A folder that was set up in another way, or only half, is made anew.
want="$cc $options"
if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir/setup.stamp" 2>/dev/null || true)" != "$want" ]; then
    rm -rf "$dir"
    # shellcheck disable=SC2086
    log=$(CC=$cc meson setup "$dir" $options -Dwerror="${SOTTO_WERROR:-false}" \
        ${counting:+"-Dc_args=$counting" "-Dc_link_args=$counting"} 2>&1) || {
        printf '%s\n' "$log" >&2
        echo "build: meson could not set up $dir (text above)" >&2
        exit 1
    }
    printf '%s\n' "$want" >"$dir/setup.stamp"
fi
exec ninja -C "$dir" "$@"
