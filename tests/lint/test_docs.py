#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents name exists: tests, files, targets, commands, options, settings, fields."""
import ast
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

BUILD = os.environ.get("SOTTO_BUILD") or os.path.join(tap.ROOT, "build")
FOLDERS = ("src/", "apps/", "tests/", "scripts/", "docs/", "examples/", "include/", "bench/")
# A command line in a document stands in code: `...`, or a line that is indented by four.
CODE = re.compile(r"`([^`]+)`|^ {4}(\S.*)$", re.MULTILINE)
SOTTO_GLOBAL = {"--profile", "--passphrase-file", "--version", "--help"}


def program(*words):
    done = subprocess.run([os.path.join(BUILD, words[0]), *words[1:]], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def documents():
    return [(path, tap.read(path)) for path in ["README.md"] + tap.files(".md", under=("docs",))]


def code_of(text):
    """The pieces of code in a document; what wraps over lines is joined, drawings are left out."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join((m[0] or m[1]).split()) for m in CODE.findall(text)]


# ---- tests -------------------------------------------------------------------------------------


def unit_cases(name):
    """The cases that a unit test really runs; None: there is no such test."""
    try:
        source = tap.read(f"tests/unit/test_{name}.c")
    except FileNotFoundError:
        return None
    return {f for f in re.findall(r"^static void (\w+)\(void \*\*", source, re.MULTILINE)
            if len(re.findall(rf"\b{f}\b", source)) > 1}


def script_cases(group, name):
    """The titles of a script's checks, as it prints them; None: there is no such script."""
    try:
        tree = ast.parse(tap.read(f"tests/{group}/test_{name}.py"))
    except FileNotFoundError:
        return None
    return {" ".join(ast.get_docstring(f).rstrip(".").split()) for f in tree.body
            if isinstance(f, ast.FunctionDef) and f.name.startswith("check_")
            and ast.get_docstring(f)}


def sim_cases(name):
    """What the simulation does to its world; None: there is no such test."""
    if f"test('{name}'" not in tap.read("tests/sim/meson.build"):
        return None
    faults = re.search(r"fault_names\[\] = \{(.*?)\}", tap.read("tests/sim/schedule.c"), re.DOTALL)
    return set(re.findall(r'"([a-z-]+)"', faults[1]))


def wrong_case(group, name, case):
    cases = (unit_cases(name) if group == "unit" else sim_cases(name) if group == "sim"
             else script_cases(group, name))
    if cases is None:
        return f"there is no test {group}/{name}"
    if case and case not in cases:
        return f"{group}/{name} has no case '{case}'"
    return None


def wrong_references(text):
    """`group/name`, `group/name: case`, and right after it `case` alone for more of that test."""
    reference = re.compile(r"(unit|e2e|sim|lint|soak)/([a-z0-9_]+)(?:: (.+))?")
    at, end = None, 0
    for token in re.finditer(r"`([^`]+)`", text):
        code = " ".join(token[1].split())
        if found := reference.fullmatch(code):
            at = found.groups()
            wrong = wrong_case(*at)
        elif at and re.fullmatch(r"[,;]?\s+", text[end:token.start()]) and "/" not in code:
            wrong = wrong_case(at[0], at[1], code)
        else:
            at = wrong = None
        end = token.end()
        if wrong:
            yield wrong


def check_tests_exist():
    """Every test and case that a document names is one that runs"""
    named = 0
    for path, text in documents():
        named += len(re.findall(r"`(?:unit|e2e|sim|lint|soak)/", text))
        for wrong in wrong_references(text):
            yield f"{path}: {wrong}"
    if named < 20:
        yield f"only {named} tests are named; is the reader broken?"


def check_claims_name_a_test():
    """Every thing that somebody cannot do names what shows it (docs/security.md)"""
    text = tap.read("docs/security.md")
    for cannot in re.findall(r"^Cannot:\n(.*?)\n\n[^-\n ]", text, re.MULTILINE | re.DOTALL):
        for claim in re.split(r"^- ", cannot, flags=re.MULTILINE)[1:]:
            if not re.search(r"`(unit|e2e|sim|lint|scripts)/", claim):
                yield " ".join(claim.split())


def check_reader_finds_planted_faults():
    """A case or a test that does not exist is found, also in a long list"""
    planted = ("(`unit/list: swapped_lists`, `no_such_case`; `e2e/nothing: (x)`; `unit/log`;"
               " `sim/simulation: kills`, `wishes`)"
               " and `code`, `unit/log:\nno_such_line`, `src/x.c`")
    found = list(wrong_references(planted))
    if found != ["unit/list has no case 'no_such_case'", "there is no test e2e/nothing",
                 "sim/simulation has no case 'wishes'",
                 "unit/log has no case 'no_such_line'"]:
        yield repr(found)


# ---- files, targets ----------------------------------------------------------------------------


def check_files_exist():
    """Every file of the tree that a document names is there"""
    for path, text in documents():
        named = {t for t in code_of(text) if t.startswith(FOLDERS) and not re.search(r"[*<> ]", t)}
        for name in sorted(named):
            if not os.path.exists(os.path.join(tap.ROOT, name)):
                yield f"{path}: there is no {name}"
        for name in re.findall(r"\]\(([^)#:]+)\)", text):
            if not os.path.exists(os.path.join(tap.ROOT, os.path.dirname(path), name)):
                yield f"{path}: the link to {name} leads nowhere"


def targets():
    return set(re.findall(r"^([a-z-]+):", tap.read("Makefile"), re.MULTILINE))


def benchmarks():
    names = [os.path.basename(f) for f in tap.files(".py", ".sh", ".c", under=("bench",))]
    return {name[6:].split(".")[0] for name in names if name.startswith("bench_")}


def check_targets_exist():
    """Every make target that a document names is in the Makefile, and its help knows them all"""
    known = targets() | {f"bench-{name}" for name in benchmarks()}
    for path, text in documents():
        for code in code_of(text):
            for name in re.findall(r"(?:^|&& |sudo )make ([a-z][a-z0-9-]*)", code):
                if name not in known:
                    yield f"{path}: make {name}"
    helped = re.findall(r"^\t@echo '(.*)'$", tap.read("Makefile"), re.MULTILINE)
    said = {name for line in helped for name in re.findall(r"make ([a-z-]+)", line)}
    for name in targets() - {"all", "help", "programs", "everything"} - said:
        yield f"make help does not say make {name}"


# ---- sotto -------------------------------------------------------------------------------------


def commands():
    """What `sotto help` lists."""
    return re.findall(r"^  ([a-z-]+) ", program("sotto", "help"), re.MULTILINE)


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def man_section(page, title):
    return re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", page, re.MULTILINE | re.DOTALL)[1]


def plain(line):
    """A line of mdoc as it is read: Fl -name is --name."""
    return re.sub(r"\bFl -?-", "--", line)


def man_commands():
    """{command: all its .It lines}"""
    found = {}
    for line in re.findall(r"^\.It Cm (.*)$", man_section(tap.read("docs/man/sotto.1"), "COMMANDS"),
                           re.MULTILINE):
        found.setdefault(line.split()[0], []).append(plain(line))
    return found


def check_commands_in_the_manual():
    """sotto(1) and `sotto help` have the same commands with the same options"""
    manual, listed = man_commands(), commands()
    for name in set(listed) ^ set(manual):
        yield f"{name} is only in {'sotto help' if name in listed else 'sotto(1)'}"
    for name in set(listed) & set(manual):
        usage = program("sotto", "help", name).splitlines()[0]
        said = options_in(" ".join(manual[name]))
        if options_in(usage) != said:
            yield f"{name}: help has {sorted(options_in(usage))}, sotto(1) has {sorted(said)}"


def check_commands_explain_themselves():
    """Every command has usage, a sentence and an example of itself, and completion offers it"""
    listed = commands()
    if len(listed) < 15:
        yield f"sotto help lists {listed}"
    for name in listed:
        text = program("sotto", "help", name)
        if not text.startswith(f"usage: sotto {name}") or len(text.splitlines()) < 5:
            yield f"{name}: {text!r}"
        example = re.search(r"^example: (.*)$", text, re.MULTILINE)
        if not example or f"sotto {name}" not in example[1]:
            yield f"{name} has no example of itself"
        if program("sotto", name, "--help") != text:
            yield f"sotto {name} --help says something else than sotto help {name}"
        offered = program("sotto", "__complete", "--", "1", "sotto", name).split()
        if name not in offered:
            yield f"completion does not offer {name}"
        usage = options_in(text.splitlines()[0])
        offered = set(program("sotto", "__complete", "--", "2", "sotto", name, "--").split())
        if offered - SOTTO_GLOBAL != usage:
            yield f"{name}: completion offers {sorted(offered - SOTTO_GLOBAL)}, not {sorted(usage)}"


def check_commands_in_documents():
    """Every sotto or sottod command and option in a document is understood"""
    words = set(commands())
    known = options_in("".join(program("sotto", "help", c) for c in commands())) | SOTTO_GLOBAL
    relay = options_in(program("sottod", "help"))
    told = relay_commands() | {"help"}
    for path, text in documents():
        for code in code_of(text):
            if code.startswith("--") and not options_in(code) <= known | relay:
                yield f"{path}: there is no {code}"
            for line in re.split(r" (?:#|&&|&|\|) ?", code):
                found = re.match(r"(?:\$ )?(?:sudo )?(?:build/)?(sottod?)(?: (.*))?$", line)
                if not found:
                    continue
                rest = re.sub(r"'[^']*'", "TEXT", found[2] or "")
                left = options_in(rest) - (relay if found[1] == "sottod" else known)
                for option in sorted(left):
                    yield f"{path}: `{line}`: there is no {option}"
                first = re.match(r"([a-z][a-z-]*)\b", rest)
                if first and first[1] not in (words if found[1] == "sotto" else told):
                    yield f"{path}: `{line}`: there is no command {first[1]}"


def check_chat_words():
    """sotto(1) has the words and the commands that a chat knows"""
    manual = man_section(tap.read("docs/man/sotto.1"), "CHAT")
    own = re.search(r"own_commands\[\] = \{(.*?)^\};", tap.read("apps/sotto/chat_line.c"),
                    re.MULTILINE | re.DOTALL)[1]
    alone = re.search(r"alone\[\] = \{(.*?)\};", tap.read("apps/sotto/line.c"))[1]
    words = set(re.findall(r'^    \{"(\w+)"', own, re.MULTILINE) + re.findall(r'"(\w+)"', alone))
    said = set(re.findall(r"^\.It Cm (\w+)", manual, re.MULTILINE))
    if words != said:
        yield f"words: {sorted(words ^ said)}"
    table = re.findall(r'\{\.name = "([\w-]+)",(.*?)\},\n(?=    \{)',
                       tap.read("apps/sotto/command.c"), re.DOTALL)
    known = {name for name, rest in table if ".start = " in rest}
    listed = re.search(r"^\.Cm (devices .*\n(?:and\n\.Cm \w+\n)?)work as above", manual,
                       re.MULTILINE)[1]
    said = set(re.findall(r"[a-z-]{3,}", listed.replace("Cm", ""))) - {"and"}
    if known != said:
        yield f"commands: {sorted(known ^ said)}"


def check_exit_codes():
    """sotto(1) explains each result of the public header, and no other"""
    header = tap.read("include/sotto/sotto.h")
    results = sorted(int(n) for n in re.findall(r"SOTTO_RESULT_\w+ = (\d+)", header))
    page = man_section(tap.read("docs/man/sotto.1"), "EXIT STATUS")
    said = [int(n) for n in re.findall(r"^\.It (\d+)$", page, re.MULTILINE)]
    if results != said or results != list(range(8)):
        yield f"the header has {results}, sotto(1) has {said}"


def check_json_fields():
    """The fields that --json prints are those of sotto(1), in both directions"""
    view = tap.read("apps/sotto/view.c")
    page = man_section(tap.read("docs/man/sotto.1"), "JSON")
    parts = {"receive, history": "message_json", "contacts": "view_contact",
             "devices": "view_device", "status": "status_json"}
    for title, function in parts.items():
        body = re.search(rf"^static void {function}\(.*?^}}", view, re.MULTILINE | re.DOTALL)[0]
        printed = set(re.findall(r'sotto_json_\w+\(&j, "(\w+)"', body))
        section = re.search(rf"^\.Ss {title}\n(.*?)(?=^\.Ss |\Z)", page,
                            re.MULTILINE | re.DOTALL)[1]
        said = {f for line in re.findall(r"^\.It Li (.*)$", section, re.MULTILINE)
                for f in re.findall(r"\w+", line)}
        if printed != said:
            yield (f"{title}: only printed {sorted(printed - said)}, "
                   f"only said {sorted(said - printed)}")


def check_environment():
    """sotto(1) and sottod(8) name each variable that their program asks for"""
    page = man_section(tap.read("docs/man/sotto.1"), "ENVIRONMENT")
    for path in tap.files(".c", under=("apps/sotto", "src")):
        for name in re.findall(r'getenv\("([A-Z_]+)"\)', tap.read(path)):
            if path.startswith("src/run/relay/"):
                if name not in relay_manual():
                    yield f"{path}: {name} is not in sottod(8)"
            elif not re.search(rf"^\.It Ev .*\b{name}\b", page, re.MULTILINE):
                yield f"{path}: {name}"


# ---- sottod ------------------------------------------------------------------------------------


def settings():
    """As flags: what src/run/relay/options.c understands."""
    table = re.search(r"settings\[\] = \{(.*?)^\};", tap.read("src/run/relay/options.c"),
                      re.MULTILINE | re.DOTALL)[1]
    return {"--" + n.replace("_", "-") for n in re.findall(r'\.name = "(\w+)"', table)}


def relay_manual():
    return tap.read("docs/man/sottod.8").replace("\\-", "-")


def manual_options(title):
    return set(re.findall(r'^\.BI (--[a-z-]+) ', man_part(relay_manual(), title), re.MULTILINE))


def man_part(page, title):
    return re.search(rf"^\.SH {title}\n(.*?)(?=^\.SH |\Z)", page, re.MULTILINE | re.DOTALL)[1]


def check_relay_settings():
    """Source, sottod(8) and `sottod help` have the same settings"""
    source = settings()
    if len(source) < 8:
        yield f"options.c has {sorted(source)}; is the reader broken?"
    if wrong := manual_options("SETTINGS") ^ (source | {"--config"}):
        yield f"SETTINGS of sottod(8): {sorted(wrong)}"
    own = {"--uses", "--expires", "--json", "--yes"}
    if wrong := manual_options("COMMANDS") ^ (own | {"--public"}):
        yield f"COMMANDS of sottod(8): {sorted(wrong)}"
    helped = options_in(program("sottod", "help"))
    wanted = source | own | {"--config", "--version", "--no-sandbox"}
    if helped != wanted:
        yield f"sottod help: {sorted(helped ^ wanted)}"


def relay_commands():
    """What `sottod help` lists."""
    part = re.search(r"^Commands.*?\n(.*?)\n\n", program("sottod", "help"),
                     re.MULTILINE | re.DOTALL)[1]
    return set(re.findall(r"^  ([a-z]+) ", part, re.MULTILINE))


def check_relay_commands():
    """sottod(8) and `sottod help` have the same commands, and each says what it wants"""
    listed = relay_commands()
    if len(listed) < 10:
        yield f"sottod help lists {sorted(listed)}"
    manual = re.findall(r"^\.B ([a-z]+)\b", man_part(relay_manual(), "COMMANDS"), re.MULTILINE)
    for name in listed ^ set(manual):
        yield f"{name} is only in {'sottod help' if name in listed else 'sottod(8)'}"


def check_relay_defaults():
    """The defaults in sottod(8) are those of the source"""
    header = tap.read("src/relay/relay.h") + tap.read("src/run/relay/options.h")
    page = man_part(relay_manual(), "SETTINGS")
    for flag in ("--quota-messages", "--quota-bytes", "--lifetime-days", "--max-connections",
                 "--requests-per-second"):
        name = flag[2:].upper().replace("-", "_")
        value = re.search(rf"define SOTTO_RELAY_{name} +(.*)", header)[1].split("/*")[0]
        number = eval(re.sub(r"(?<=\d)[ul]+", "", value.strip()), {})  # like (16 * 1024 * 1024)
        entry = re.search(rf"^\.BI {flag} .*?\n(.*?)(?=^\.TP|\Z)", page,
                          re.MULTILINE | re.DOTALL)[1]
        if not re.search(rf"\b{number} by default", entry):
            yield f"{flag}: the source says {number}"


def example():
    """[(name, value)] of docs/sottod.conf.example."""
    return re.findall(r"^#(\w+) = (.*)$", tap.read("docs/sottod.conf.example"), re.MULTILINE)


def check_config_example():
    """The example of a config file has every setting, with the default of the source"""
    named = {"--" + name.replace("_", "-") for name, _ in example()}
    if wrong := named ^ settings():
        yield f"docs/sottod.conf.example: {sorted(wrong)}"
    header = tap.read("src/relay/relay.h") + tap.read("src/run/relay/options.h")
    for name, value in example():
        found = re.search(rf"define SOTTO_RELAY_{name.upper()} +(.*)", header)
        if not found:
            continue
        number = eval(re.sub(r"(?<=\d)[ul]+", "", found[1].split("/*")[0].strip()), {})
        if str(number) != value:
            yield f"{name}: the source says {number}, the example {value}"


def check_restart_only():
    """The example and sottod(8) agree with the source on what needs a restart"""
    table = re.search(r"settings\[\] = \{(.*?)^\};", tap.read("src/run/relay/options.c"),
                      re.MULTILINE | re.DOTALL)[1]
    entries = re.findall(r'\.name = "(\w+)"(.*?)(?=\.name = |\Z)', table, re.DOTALL)
    source = {name for name, rest in entries if ".live = true" not in rest}
    text = tap.read("docs/sottod.conf.example")
    said = set()
    for block in re.split(r"\n\n", text):
        if "(restart)" in block and "\n#" in block:
            said |= set(re.findall(r"^#(\w+) = ", block, re.MULTILINE))
    if wrong := source ^ said:
        yield f"docs/sottod.conf.example: {sorted(wrong)}"
    hup = re.search(r"^\.B SIGHUP\n(.*?)(?=^\.SH|^\.TP)", relay_manual(), re.MULTILINE | re.DOTALL)[1]
    line = re.search(r"except for\n(.*)", hup)[1]
    if wrong := source ^ (set(re.findall(r"\w+", line)) - {"BR", "and"}):
        yield f"sottod(8), SIGHUP: {sorted(wrong)}"


def check_settings_in_documents():
    """Config lines in the documents use settings that exist"""
    known = {s[2:].replace("-", "_") for s in settings()}
    pages = documents() + [("docs/man/sottod.8", relay_manual())]
    for path, text in pages:
        for name in re.findall(r'[`"]([a-z_]+) = [^`"=]+[`"]', text):
            if name not in known | {"name"}:
                yield f"{path}: there is no setting {name}"


if __name__ == "__main__":
    tap.main([f for name, f in sorted(globals().items()) if name.startswith("check_")])
