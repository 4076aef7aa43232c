#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of test_source.py finds what was planted for it, and only that."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CLEAN = {
    "Makefile": "# SPDX-License-Identifier: Apache-2.0\n",
    "meson.build": "# SPDX-License-Identifier: Apache-2.0\n",
    ".ci/run": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n",
    "tests/unit/meson.build": "# SPDX-License-Identifier: Apache-2.0\n['a', []]\n",
    "tests/fuzz/meson.build": "# SPDX-License-Identifier: Apache-2.0\n",
    "tests/unit/test_a.c": SPDX,
    "src/base/a.h": SPDX,
    "src/base/a.c": SPDX + '#include "base/a.h"\n/* printf() */ char *s = "puts(stdout)";\n',
    "src/wire/w.h": SPDX + '#include "base/a.h"\n',
    "src/store/s.h": SPDX,
    "src/store/s.c": SPDX + '#include <sqlcipher/sqlite3.h>\n#include "wire/w.h"\n'
                            'char *q = "SELECT a FROM b";\n',
    "src/relay/r.h": SPDX,
    "src/relay/long.c": SPDX + "int f(void)\n{\n" + "    f();\n" * 79 + "}\n",
    "src/client/c.h": SPDX,
    "src/run/x.h": SPDX,
    "src/run/client/x.h": SPDX,
    "src/run/relay/x.h": SPDX + '#include "run/x.h"\n',
    "src/run/operator/x.h": SPDX + '#include "run/relay/x.h"\n',
    "apps/sottod/main.c": SPDX + '#include "run/operator/x.h"\n#include "run/relay/x.h"\n',
    "include/sotto/sotto.h": SPDX,
    "apps/sotto/own.h": SPDX,
    "apps/sotto/meson.build": "# SPDX-License-Identifier: Apache-2.0\noutput: 'made.h',\n",
    "apps/sotto/main.c": SPDX + '#include <sotto/sotto.h>\n#include "own.h"\n#include "made.h"\n'
                                '#include "base/a.h"\n',
}
# what is planted, and the words of the rule that has to find it
PLANTS = [
    ("src/base/a.c", SPDX + '#include "wire/w.h"\n', "point downwards"),
    ("src/client/c.c", SPDX + '#include "relay/r.h"\n', "point downwards"),
    ("apps/sotto/main.c", SPDX + '#include "store/s.h"\n#include "wire/w.h"\n', "point downwards"),
    ("src/run/relay/y.c", SPDX + '#include "run/client/x.h"\n', "point downwards"),
    ("src/run/relay/y.c", SPDX + '#include "run/operator/x.h"\n', "point downwards"),
    ("src/run/y.c", SPDX + '#include "run/relay/x.h"\n', "point downwards"),
    ("apps/sotto/main.c", SPDX + '#include "run/client/x.h"\n', "point downwards"),
    ("examples/e.c", SPDX + '#include "base/a.h"\n', "point downwards"),
    ("src/run/x.c", SPDX + '#include "x.h"\n', "written from src/"),
    ("src/run/x.c", SPDX + '#include "../base/a.h"\n', "written from src/"),
    ("src/files/f.c", SPDX, "place in the order"),
    ("src/relay/r.c", SPDX + "#include <openssl/evp.h>\n", "library"),
    ("src/e2ee/e.c", SPDX + "#include <sodium.h>\n", "library"),
    ("src/relay/r.c", SPDX + "#include <sqlcipher/sqlite3.h>\n", "library"),
    ("src/client/c.c", SPDX + "#include <uv.h>\n", "library"),
    ("src/client/c.c", SPDX + '#include "relay.pb-c.h"\n', "library"),
    ("src/relay/r.c", SPDX + 'char *q = "DELETE FROM boxes";\n', "SQL"),
    ("src/relay/r.c", SPDX + 'void f(void)\n{\n    fprintf(stderr, "x");\n}\n', "does not print"),
    ("src/relay/r.c", SPDX + "int f(void)\n{\n" + "    f();\n" * 80 + "}\n", "80 lines"),
    ("src/relay/r.c", "int x;\n", "licence"),
    ("tests/unit/test_b.c", SPDX, "that the build knows"),
    ("tests/e2e/test_x.py", "# SPDX-License-Identifier: Apache-2.0\n", "can be executed"),
]


def broken_rules(tree):
    """The titles of the rules that complain about a tree of {path: text}."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w") as f:
                f.write(text)
        env = dict(os.environ, SOTTO_SOURCE=root)
        script = os.path.join(tap.ROOT, "tests/lint/test_source.py")
        out = subprocess.run([script], env=env, capture_output=True, text=True).stdout
    if "ok 1 - " not in out:
        raise AssertionError(out)
    return re.findall(r"^not ok \d+ - (.*)$", out, re.MULTILINE)


def check_clean():
    """A tree that keeps the rules is left in peace"""
    return broken_rules(CLEAN)


def check_planted():
    """Every planted fault is found by its rule and by no other"""
    for path, text, words in PLANTS:
        found = broken_rules({**CLEAN, path: text})
        if len(found) != 1 or words not in found[0]:
            yield f"{path} ({words}): {found}"


if __name__ == "__main__":
    tap.main([check_clean, check_planted])
