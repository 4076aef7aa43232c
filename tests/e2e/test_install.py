#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make install puts there what people need, make uninstall takes away exactly that."""
import os
import subprocess
import sys

SOURCE, BUILD, TMP = (os.environ[n] for n in ("SOTTO_SOURCE", "SOTTO_BUILD", "TMPDIR"))
PREFIX = "/usr/local"
EXPECTED = {
    "bin/sotto", "bin/sottod", "include/sotto/sotto.h", "lib/libsotto.a", "lib/libsotto.so",
    "lib/libsotto.so.0", "lib/pkgconfig/sotto.pc", "share/man/man1/sotto.1", "share/man/man8/sottod.8",
    "share/bash-completion/completions/sotto", "share/sotto/installed-files",
    "share/doc/sotto/sottod.conf.example", "lib/systemd/system/sottod.service",
    "lib/sysusers.d/sottod.conf",
}
PROGRAM = """
#include <sotto/sotto.h>
#include <stdio.h>
int main(void)
{
    return puts(sotto_version()) < 0;
}
"""


def run(*cmd, **env):
    done = subprocess.run(cmd, cwd=SOURCE, env={**os.environ, **env}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    for line in done.stdout.splitlines():
        print("# " + line)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(cmd)} ended with {done.returncode}")
    return done.stdout


def files(root):
    return {os.path.relpath(os.path.join(d, f), root + PREFIX)
            for d, _, names in os.walk(root) for f in names}


def installed(root):
    run("make", "install", f"DESTDIR={root}", f"PREFIX={PREFIX}")
    there = files(root)
    assert not EXPECTED - there, f"missing: {EXPECTED - there}"
    extra = {f for f in there - EXPECTED if not f.startswith("lib/libsotto.")}
    assert not extra, f"too much: {extra}"


def programs_run(root):
    for name in ("sotto", "sottod"):
        version = run(f"{root}{PREFIX}/bin/{name}", "--version", LD_LIBRARY_PATH="")
        assert name in version, version


def builds_and_runs(root, static):
    source, program = os.path.join(TMP, "p.c"), os.path.join(TMP, "p")
    with open(source, "w") as f:
        f.write(PROGRAM)
    pc = dict(PKG_CONFIG_PATH=f"{root}{PREFIX}/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR=root)
    ask = ["pkg-config", "--cflags", "--libs"] + (["--static"] if static else [])
    flags = run(*ask, "sotto", **pc).split()
    if static:
        flags[flags.index("-lsotto")] = f"{root}{PREFIX}/lib/libsotto.a"
    run("cc", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-std=c99", source, *flags, "-o", program)
    version = run("pkg-config", "--modversion", "sotto", **pc).strip()
    path = "" if static else f"{root}{PREFIX}/lib"
    assert run(program, LD_LIBRARY_PATH=path).strip() == version


def library_is_usable(root):
    builds_and_runs(root, static=False)


def archive_is_usable(root):
    builds_and_runs(root, static=True)


def uninstalled(root):
    own = os.path.join(root + PREFIX, "share", "sotto", "kept-by-a-person")
    data = os.path.join(os.environ["HOME"], ".local", "share", "sotto", "profile")
    for path in (own, data):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write("x")
    said = run("make", "uninstall", f"DESTDIR={root}", f"PREFIX={PREFIX}")
    assert files(root) == {"share/sotto/kept-by-a-person"}, files(root)
    assert os.path.isfile(data) and "~/.local/share/sotto" in said, said


def main():
    root = os.path.join(TMP, "root")
    cases = [
        ("make install puts everything there", installed),
        ("the installed programs run", programs_run),
        ("a strict C99 program builds against the installed library by pkg-config",
         library_is_usable),
        ("it builds against the archive too", archive_is_usable),
        ("make uninstall removes what was installed, leaves data and says where it is",
         uninstalled),
    ]
    bad = 0
    print(f"1..{len(cases)}")
    for i, (title, case) in enumerate(cases, 1):
        try:
            case(root)
            print(f"ok {i} - {title}", flush=True)
        except (AssertionError, OSError) as e:
            bad = 1
            print(f"# {e}\nnot ok {i} - {title}", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
