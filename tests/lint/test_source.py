#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules about the source: which way includes point, who may use which library, licence lines."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

# A module may include itself and whatever stands in a later line. Neighbours in one line do not
# know each other.
LAYERS = [
    ["apps/sottod", "apps/sotto", "examples"],
    ["src/run/operator"],
    ["src/run/client", "src/run/relay"],
    ["src/run"],
    ["src/client", "src/relay"],
    ["src/store", "src/net", "src/vault"],
    ["src/wire"],
    ["src/e2ee", "src/auth"],
    ["src/crypto"],
    ["src/base"],
]
# Faces hold no protocol and no SQL; an example uses the public header and nothing else.
ALLOWED = {
    "apps/sottod": {"src/run/operator", "src/run/relay", "src/base"},
    "apps/sotto": {"src/base"},
    "examples": set(),
}
LIBRARIES = [
    (r"openssl/", ["src/crypto/", "src/net/tls", "src/net/cert"]),
    (r"sodium(\.h|/)", ["src/crypto/", "src/base/secret.", "src/base/env."]),
    (r"(sqlcipher/)?sqlite3?(ext)?\.h", ["src/store/"]),
    (r"uv(\.h|/)", ["src/net/", "src/run/"]),
    (r"mlkem/", ["src/crypto/kem."]),
    (r"protobuf-c/|.*\.pb-c\.h", ["src/wire/"]),
    (r"editline/|histedit\.h", ["apps/sotto/"]),
    (r"(sys/socket|netdb|netinet/.*)\.h", ["src/net/", "src/run/"]),
]
PRODUCT = ("src", "include", "apps", "examples")
# Words in strings that are SQL statements.
SQL = re.compile(r'"\s*(SELECT\s.*\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET'
                 r'|DELETE\s+FROM|CREATE\s+(TABLE|INDEX)|PRAGMA\s)', re.IGNORECASE)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(path):
    for layer in LAYERS:
        for module in layer:
            if path.startswith(module + "/"):
                return module
    return None


def below(module):
    if module in ALLOWED:
        return ALLOWED[module]
    level = next(i for i, layer in enumerate(LAYERS) if module in layer)
    return {m for layer in LAYERS[level + 1:] for m in layer}


def includes():
    for path in tap.files(".c", ".h", under=PRODUCT):
        for kind, name in INCLUDE.findall(tap.read(path)):
            yield path, kind, name


def target_of(path, name):
    """The file of ours that an include names, or None."""
    own = os.path.join(module_of(path) or "", name) if path.startswith(("apps", "examples")) else ""
    for candidate in (os.path.join("src", name), os.path.join("include", name), own):
        if candidate and os.path.isfile(os.path.join(tap.ROOT, candidate)):
            return candidate
    return None


def check_direction():
    """Includes point downwards only"""
    for path, kind, name in includes():
        module, target = module_of(path), target_of(path, name)
        if module is None or target is None or kind == "<" and not name.startswith("sotto/"):
            continue
        other = module_of(target)
        if other and other != module and other not in below(module):
            yield f"{path} includes {name}: {module} must not know {other}"


def check_written_from_src():
    """Includes of our own files are written from src/ or from the program's folder"""
    builds = "".join(tap.read(path) for path in tap.files("meson.build", under=PRODUCT))
    for path, kind, name in includes():
        generated = name.endswith(".pb-c.h") or f"output: '{name}'" in builds
        if ".." in name or kind == '"' and not generated and target_of(path, name) is None:
            yield f'{path} includes "{name}"'


def check_every_module_has_a_layer():
    """Every folder with sources has a place in the order of layers"""
    for path in tap.files(".c", under=("src", "apps", "examples")):
        if module_of(path) is None:
            yield f"{path}: add its folder to LAYERS"


def check_libraries():
    """Each library is called only where it belongs"""
    for path, _, name in includes():
        for pattern, places in LIBRARIES:
            if re.fullmatch(pattern + ".*", name) and not path.startswith(tuple(places)):
                yield f"{path} includes {name}: only {', '.join(places)} may"


def check_sql():
    """SQL stands in src/store only"""
    for path in tap.files(".c", ".h", under=PRODUCT):
        if path.startswith("src/store/"):
            continue
        for number, line in enumerate(tap.read(path).splitlines(), 1):
            if SQL.search(line):
                yield f"{path}:{number}: {line.strip()}"


def check_silent():
    """Library code does not print; it logs or returns"""
    prints = re.compile(r"\b(v?printf|puts|putchar|perror)\s*\(|\bstd(out|err)\b")
    for path in tap.files(".c", under=("src",)):
        if path.startswith(("src/run/", "src/base/log.c")):
            continue
        for number, line in enumerate(tap.read_code(path).splitlines(), 1):
            if prints.search(line):
                yield f"{path}:{number}: {line.strip()}"


def check_function_length():
    """No function is longer than 80 lines"""
    for path in tap.files(".c", under=PRODUCT + ("tests", "bench")):
        start = 0
        for number, line in enumerate(tap.read(path).splitlines(), 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                if number - start > 80:
                    yield f"{path}:{start}: {number - start} lines"
                start = 0


def check_licence_lines():
    """Every source names its licence in the first three lines"""
    endings = (".c", ".h", ".py", ".sh", ".proto", ".bash", "meson.build")
    names = tap.files(*endings) + ["Makefile", "meson.build", ".ci/run"]
    for path in names:
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(tap.read(path).splitlines()[:3]):
            yield path


def check_executable():
    """Test scripts can be executed and say by what"""
    for path in tap.files(".py", ".sh", under=("tests",)):
        if os.path.basename(path).startswith("test_"):
            if not os.access(os.path.join(tap.ROOT, path), os.X_OK):
                yield f"{path}: chmod +x"
            if not tap.read(path).startswith("#!"):
                yield f"{path}: no #! line"


def check_unit_tests_listed():
    """Every test and fuzz target in the tree is one that the build knows"""
    for folder, prefix in (("tests/unit", "test_"), ("tests/fuzz", "fuzz_")):
        listed = tap.read(f"{folder}/meson.build")
        for path in tap.files(".c", under=(folder,)):
            name = os.path.basename(path)[:-2]
            if name.startswith(prefix) and f"'{name[len(prefix):]}'" not in listed \
                    and f"'{name}'" not in listed and f"'{name}.c'" not in listed:
                yield f"{path} is not in {folder}/meson.build"


if __name__ == "__main__":
    tap.main([f for name, f in sorted(globals().items()) if name.startswith("check_")])
