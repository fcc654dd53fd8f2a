#!/usr/bin/env python3
"""Removes one check of the service at a time, and sees that the test that is named for it fails.

    run.py [ROW, MARK or TEST…]    about half a minute a check, run by hand: `make mutants`
    run.py --check                 only sees that the service builds without its checks: a few builds in all

Works on a copy below target/mutants, so a run that is cut leaves nothing behind. The checks are in list.toml.
"""
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
# A test that failed, as nextest tells it; anything else, such as code that does not build, proves nothing.
FAILED = 100
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


def selected(tree, test):
    """What holds the test, and the one test in it. A test is named by the name of its file and its own."""
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
    only = f"test(/^{module}::((tests|holds)::)?{name}$/)"
    return ["--lib" if kind == "src" else "--test=it", "-E", only]


def run(tree, test):
    # Only what holds the test is built.
    command = ["cargo", "nextest", "run", "--locked", *selected(tree, test)]
    ran = subprocess.run(command, cwd=tree, env=ENVIRONMENT, capture_output=True, text=True)
    if ran.returncode not in (0, FAILED):
        print(ran.stderr[-4000:], file=sys.stderr)
        return "COULD NOT BE RUN"
    return "fails" if ran.returncode == FAILED else "PASSES"


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


def main():
    wanted = set(sys.argv[1:])
    tree = copy()
    mutants = tomllib.loads((ROOT / "tests/mutants/list.toml").read_text())["mutants"]
    if wanted == {"--check"}:
        return check(tree, mutants)
    killed = {True: 0, False: 0}
    for mutant in mutants:
        name = mutant.get("at") or f"{mutant['row']}: {mutant['file']}"
        names = rows(mutant) | {name}
        if wanted and not wanted & (names | set(mutant["tests"])):
            continue
        path, begin, end, to = change(tree, mutant)
        original = path.read_text()
        path.write_text(original[:begin] + to + original[end:])
        try:
            for test in mutant["tests"]:
                # Of a mutant that was asked for by a test, only that test.
                if wanted and not wanted & (names | {test}):
                    continue
                outcome = run(tree, test)
                print(f"{name}: {test} {outcome}", flush=True)
                killed[outcome == "fails"] += 1
        finally:
            path.write_text(original)
    print(f"mutants: {killed[True]} passed, {killed[False]} failed")
    sys.exit(bool(killed[False]))


if __name__ == "__main__":
    main()
