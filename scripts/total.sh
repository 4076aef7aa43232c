#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Adds up results. "N passed, N failed, N skipped" is the last such line of a run.
#
#   total.sh NAME CODE <OUTPUT   prints that line of the output of one run; a run without one, or
#                                one that failed though it says otherwise, counts as one failure
#   total.sh --sum <LINES        prints the sum of all lines; exit code 1 if anything failed
set -eu

line='^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'
if [ "$1" = --sum ]; then
    awk '{ p += $1; f += $3; s += $5 }
        END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }'
else
    result=$(grep -E "$line" | tail -n 1) || true
    case $2:$result in
    0:?*) ;;
    *:*" 0 failed,"* | *:)
        echo "$1: ended with exit code $2, counted as one failure" >&2
        result="0 passed, 1 failed, 0 skipped"
        ;;
    esac
    echo "$result"
fi
