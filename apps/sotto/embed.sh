#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# embed.sh FILE NAME: prints a C header that has the text of FILE as the string NAME.
set -eu
echo "/* made from $(basename "$1") */"
echo "static const char $2[] ="
sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
echo "    \"\";"
