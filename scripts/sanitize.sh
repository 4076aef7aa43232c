#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds with ASan + UBSan and with TSan and runs in each what is meant for them: the unit tests,
# the fuzz corpora and the scripts marked "# sanitizers:". Arguments go to scripts/test.py.
# Ends with the sum of both runs, as scripts/test.py does.
set -eu

cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out" "$out.code" "$out.text"' EXIT

for flavour in asan tsan; do
    echo "== $flavour"
    # A build that fails is a failed run, not the end: the other one still has something to say.
    {
        code=0
        scripts/build.sh "$flavour" && scripts/test.py --build "build-$flavour" "$@" || code=$?
        echo $code >"$out.code"
    } 2>&1 | tee "$out.text"
    scripts/total.sh "$flavour" "$(cat "$out.code")" <"$out.text" >>"$out"
done
echo
scripts/total.sh --sum <"$out"
