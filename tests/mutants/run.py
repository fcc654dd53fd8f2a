#!/usr/bin/env python3
"""Removes one check of the service at a time, and sees that the test that is named for it fails.

    run.py [ROW, MARK or TEST…]    one long build and then about two seconds a test, run by hand: `make mutants`
    run.py --check                 only sees that the service builds without its checks: a few builds in all

Works on a copy below target/mutants, so a run that is cut leaves nothing behind. The checks are in list.toml.

Most mutants are built at once: a function with a check stands there once more for each mutant of it, and a number in a file
says which one is in force. What stands in no function, or does not build that way, is built alone.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutants"
ENVIRONMENT = {**os.environ, "CARGO_TARGET_DIR": str(SCRATCH / "target")}
# A test that failed, as its program tells it. One that a signal ends has failed as well; anything else proves nothing.
FAILED = 101
# Seconds after which a test hangs, which is a failure as well.
LONGEST = 60
# Which mutant is in force. A file, because some tests start the service without their environment.
SWITCH = SCRATCH / "mutant"
# Lines below its mark in which the changed text begins.
REACH = 8


def copy():
    tree = SCRATCH / "tree"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    names = files.stdout.decode().split("\n")
    wanted = {name for name in names if name and (ROOT / name).is_file()}
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink() and str(path.relative_to(tree)) not in wanted:
            path.unlink()
    for name in wanted:
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # What has not changed keeps its time, so that cargo builds little anew.
        if not target.is_file() or target.read_bytes() != (ROOT / name).read_bytes():
            shutil.copy(ROOT / name, target)
    if (ROOT / ".tools").exists() and not (tree / ".tools").exists():
        (tree / ".tools").symlink_to((ROOT / ".tools").resolve())
    return tree


def marked(tree, mark):
    """The file with the mark, and where the marked code begins: on the line of the mark, or below it."""
    end = re.compile(re.escape(f"// {mark}") + "$", re.MULTILINE)
    found = [(path, match) for path in sorted((tree / "src").rglob("*.rs")) for match in end.finditer(path.read_text())]
    if len(found) != 1:
        sys.exit(f"{len(found)} marks say {mark}")
    path, match = found[0]
    text = path.read_text()
    line = text.rfind("\n", 0, match.start()) + 1
    return path, line if text[line : match.start()].strip() else match.end() + 1


def until(text, begin, ends):
    """The first of `ends` that is in no bracket."""
    depth = 0
    for at in range(begin, len(text)):
        if depth == 0 and (end := next((end for end in ends if text.startswith(end, at)), None)):
            return at, end
        depth += (text[at] in "([{") - (text[at] in ")]}")
    sys.exit(f"no end: {text[begin:begin + 80]}")


def change(tree, mutant):
    """The file, where it changes, and what then stands there."""
    if "file" in mutant:
        path = tree / mutant["file"]
        if path.read_text().count(mutant["from"]) != 1:
            sys.exit(f"{mutant['file']} does not hold this once: {mutant['from']}")
        begin = path.read_text().index(mutant["from"])
        return path, begin, begin + len(mutant["from"]), mutant["to"]
    path, begin = marked(tree, mutant["at"])
    text = path.read_text()
    match mutant.get("change"):
        case None:
            at = text.find(mutant["from"], begin)
            if at < 0 or text.count("\n", begin, at) > REACH:
                sys.exit(f"{mutant['at']}: not below the mark: {mutant['from']}")
            return path, at, at + len(mutant["from"]), mutant["to"]
        case "remove":
            at, end = until(text, begin, [";", ","])
            return path, begin, at + len(end), ""
        case kind:
            condition = text.index("if ", begin) + len("if ")
            at, _ = until(text, condition, [" {", " =>", "\n"])
            value = {"never": "&& false", "always": "|| true"}[kind]
            return path, condition, at, f"({text[condition:at]}) {value}"


def masked(text):
    """The same text, of which only code is left: comments, strings and characters are blank."""
    token = re.compile(
        r"""//[^\n]*|/\*.*?\*/|\b[bc]?r(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"|'(?:\\[^\n]+?|[^'\\])'""", re.S
    )
    return token.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def function(code, begin, end):
    """Where the body of the innermost function around a change begins and ends: at its braces."""
    open_, found = [], None
    for at, c in enumerate(code):
        if c == "{":
            head = code[max(code.rfind(mark, 0, at) for mark in ";{}") + 1 : at]
            # What does not run when the service runs has no switch.
            is_function = re.search(r"\bfn\s+\w", head) and not re.search(r"\bconst\s+(async\s+)?fn\b", head)
            open_.append((at, bool(is_function)))
        elif c == "}":
            since, is_function = open_.pop()
            if is_function and since < begin and end <= at and (found is None or since > found[0]):
                found = since, at
    return found


def switched(tree, mutants):
    """Writes those of `mutants` (number, path, begin, end, to) that stand in a function into the tree, each behind its number.
    Gives the original texts, and the lines of each function that was changed with the numbers of its mutants."""
    before, places = {}, {}
    for path in sorted({path for _, path, *_ in mutants}):
        text, functions = path.read_text(), {}
        code = masked(text)
        for number, other, begin, end, to in mutants:
            if other == path and (own := function(code, begin, end)):
                functions.setdefault(own, []).append((number, begin, end, to))
        # A function in a function would be written twice.
        outer = {one for one in functions for other in functions if one[0] < other[0] and other[1] < one[1]}
        functions = {own: changes for own, changes in functions.items() if own not in outer}
        written, lines, last = "", [], 0
        for (since, until), changes in sorted(functions.items()):
            written += text[last:since] + "{ "
            first = written.count("\n") + 1
            for number, begin, end, to in changes:
                switch = "sidemint" if path.name == "main.rs" else "crate"
                body = text[since:begin] + to + text[end : until + 1]
                written += f"if {switch}::mutant({number}) {body} else "
            written += text[since : until + 1] + " }"
            lines.append((first, written.count("\n") + 1, [number for number, *_ in changes]))
            last = until + 1
        if functions:
            before[path], places[str(path.relative_to(tree))] = text, lines
            path.write_text(written + text[last:])
    library = tree / "src/lib.rs"
    before.setdefault(library, library.read_text())
    library.write_text(
        library.read_text()
        + f"""
/// Whether this mutant is in force.
pub fn mutant(number: u32) -> bool {{
    static IN_FORCE: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    let read = || std::fs::read_to_string("{SWITCH}").ok()?.parse().ok();
    *IN_FORCE.get_or_init(read) == Some(number)
}}
"""
    )
    return before, places


def restored(before):
    for path, text in before.items():
        path.write_text(text)


def at_once(tree, mutants):
    """Writes as many mutants as build together into the tree. Gives their numbers, and the original texts."""
    while True:
        before, places = switched(tree, mutants)
        command = ["cargo", "check", "--locked", "--lib", "--message-format=json"]
        ran = subprocess.run(command, cwd=tree, env=ENVIRONMENT, capture_output=True, text=True)
        numbers = {number for lines in places.values() for *_, own in lines for number in own}
        if ran.returncode == 0:
            return numbers, before
        restored(before)
        wrong = set()
        for line in ran.stdout.splitlines():
            message = json.loads(line).get("message") or {}
            for span in message.get("spans", []) if message.get("level") == "error" else []:
                for first, last, own in places.get(span["file_name"], []):
                    if span["line_start"] <= last and span["line_end"] >= first:
                        wrong.update(own)
        if not wrong:
            sys.exit(ran.stderr[-4000:])
        mutants = [mutant for mutant in mutants if mutant[0] in numbers - wrong]


def built(tree, kind):
    """The program with the tests, unless it does not build, and the names of all of them."""
    command = ["cargo", "test", "--locked", "--no-run", "--message-format=json", kind]
    ran = subprocess.run(command, cwd=tree, env=ENVIRONMENT, capture_output=True, text=True)
    if ran.returncode != 0:
        print(ran.stderr[-4000:], file=sys.stderr)
        return None
    made = [json.loads(line) for line in ran.stdout.splitlines()]
    program = next(one["executable"] for one in made if one.get("profile", {}).get("test") and one["executable"])
    listed = subprocess.run([program, "--list"], cwd=tree, check=True, capture_output=True, text=True).stdout
    return program, re.findall(r"^(.+): test$", listed, re.M)


def selected(tree, test):
    """What holds the test, and what its name there looks like. A test is named by the name of its file and its own."""
    file, name = test.split("::")
    files = [path for folder in ("src", "tests/it") for path in (tree / folder).glob(f"**/{file}")]
    # A fuzz target; or a function, or what a macro makes one.
    own = rf"^ +\w+::{name}," if file == "fuzzing.rs" else rf"fn {name}\b|^ +{name}: [A-Z]+,"
    found = [path.relative_to(tree) for path in files if re.search(own, path.read_text(), re.M)]
    if len(found) != 1:
        sys.exit(f"{len(found)} files hold {test}")
    kind, *module = found[0].with_suffix("").parts
    module = "::".join(part for part in module[kind == "tests" :] if part != "mod")
    # Tests stand in their file, in its `mod tests`, or are the fuzz targets.
    return "--lib" if kind == "src" else "--test=it", re.compile(f"{module}::((tests|holds)::)?{name}")


def run(tree, programs, test, number=None):
    """What becomes of a test while a mutant is in force."""
    kind, name = selected(tree, test)
    if kind not in programs:
        programs[kind] = built(tree, kind)
    if programs[kind] is None:
        return "COULD NOT BE BUILT"
    program, names = programs[kind]
    SWITCH.write_text("" if number is None else str(number))
    wanted = [one for one in names if name.fullmatch(one)]
    if len(wanted) != 1:
        return f"IS {len(wanted)} TESTS"
    try:
        ran = subprocess.run([program, "--exact", *wanted], cwd=tree, capture_output=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return "fails"
    if ran.returncode == FAILED or ran.returncode < 0:
        return "fails"
    return "PASSES" if ran.returncode == 0 else f"ENDS WITH {ran.returncode}"


def rows(mutant):
    return {mutant["row"]} if "row" in mutant else set(mutant["at"].split(": ")[0].split(", "))


def check(tree, mutants):
    """Builds the service without many checks at once: those that do not stand in one another's way."""
    left = [mutant for mutant in mutants if "at" in mutant]
    while left:
        before, taken, later = {}, [], []
        for mutant in left:
            path, begin, end, to = change(tree, mutant)
            # As far apart as a mark reaches, so that each finds its own text.
            if any(path == other and begin < until + 400 and end > since - 400 for other, since, until, _ in taken):
                later.append(mutant)
            else:
                taken.append((path, begin, end, to))
        for path, begin, end, to in sorted(taken, key=lambda one: one[1], reverse=True):
            text = path.read_text()
            before.setdefault(path, text)
            path.write_text(text[:begin] + to + text[end:])
        try:
            command = ["cargo", "check", "--locked", "--lib", "--quiet"]
            built = subprocess.run(command, cwd=tree, env={**ENVIRONMENT, "RUSTFLAGS": "--cap-lints=allow"})
            print(f"{len(taken)} mutants at once: {'they build' if built.returncode == 0 else 'NOT ALL OF THEM BUILD'}")
            if built.returncode != 0:
                sys.exit(1)
        finally:
            for path, text in before.items():
                path.write_text(text)
        left = later


def mark(mutant):
    return mutant.get("at") or f"{mutant['row']}: {mutant['file']}"


def names(mutant):
    """What it is asked for by, beside its tests."""
    return rows(mutant) | {mark(mutant)}


def main():
    wanted = set(sys.argv[1:])
    mutants = tomllib.loads((ROOT / "tests/mutants/list.toml").read_text())["mutants"]
    known = {name for mutant in mutants for name in {*names(mutant), *mutant["tests"]}}
    if unknown := wanted - known - {"--check"}:
        sys.exit(f"{__doc__}\nno row, mark or test of list.toml: {', '.join(sorted(unknown))}")
    tree = copy()
    if wanted == {"--check"}:
        return check(tree, mutants)
    count, told = {True: 0, False: 0}, {}

    def judge(name, test, outcome):
        print(f"{name}: {test} {outcome}", flush=True)
        count[outcome == "fails"] += 1

    chosen = []
    for number, mutant in enumerate(mutants):
        # Of a mutant that was asked for by a test, only that test.
        tests = [test for test in mutant["tests"] if not wanted or wanted & (names(mutant) | {test})]
        if tests:
            chosen.append((mark(mutant), tests, (number, *change(tree, mutant))))
    together, before = at_once(tree, [own for *_, own in chosen if own[1].suffix == ".rs"])
    programs = {}
    try:
        for name, tests, (number, *_) in chosen:
            for test in tests if number in together else []:
                # A test that fails without a mutant proves nothing.
                if test not in told:
                    told[test] = run(tree, programs, test)
                is_good = told[test] == "PASSES"
                judge(name, test, run(tree, programs, test, number) if is_good else f"{told[test]} WITHOUT A MUTANT")
    finally:
        restored(before)
    for name, tests, (number, path, begin, end, to) in chosen:
        if number in together:
            continue
        original = path.read_text()
        path.write_text(original[:begin] + to + original[end:])
        try:
            programs = {}
            for test in tests:
                judge(name, test, run(tree, programs, test))
        finally:
            path.write_text(original)
    print(f"mutants: {count[True]} passed, {count[False]} failed")
    sys.exit(bool(count[False]))


if __name__ == "__main__":
    main()
