#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scripts/static-lib.sh OUTPUT OUR_ARCHIVE... -- PINNED_ARCHIVE...
#
# Makes one archive of all of ours and of what it needs of the pinned C sources. It is linked into
# one object whose hidden symbols are then made local: a program that uses it sees the functions of
# sotto/sotto.h alone, and may have a SQLite of its own.
set -eu

output=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ours=""
while [ "$1" != -- ]; do
    ours="$ours $1"
    shift
done
shift
# shellcheck disable=SC2086
"${LD:-ld}" -r -o "$work/sotto.o" --whole-archive $ours --no-whole-archive "$@"
"${OBJCOPY:-objcopy}" --localize-hidden "$work/sotto.o"
rm -f "$output"
"${AR:-ar}" rcs "$output" "$work/sotto.o"
