#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scripts/bench.sh [NAME]: runs bench/bench_NAME (a program in build/bench, or a .py or .sh script in
# bench), or all of them. Numbers are for people to read; no test looks at them.
set -eu

cd "$(dirname "$0")/.."
SOTTO_BUILD=$PWD/build
SOTTO_SOURCE=$PWD
PATH=/usr/bin:$PATH
export SOTTO_BUILD SOTTO_SOURCE PATH
found=0
for bench in build/bench/bench_* bench/bench_*.py bench/bench_*.sh; do
    if [ ! -f "$bench" ] || [ ! -x "$bench" ]; then
        continue
    fi
    name=$(basename "$bench")
    name=${name#bench_}
    name=${name%.*}
    [ $# -eq 0 ] || [ "$name" = "$1" ] || continue
    found=1
    echo "== $name"
    "$bench"
done
[ $found -eq 1 ] || {
    echo "bench: there is no benchmark${1:+ called $1}" >&2
    exit 2
}
