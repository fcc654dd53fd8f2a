#!/usr/bin/env python3
"""Removes one check of the service at a time, and sees that the test that is named for it fails.

    run.py [ROW or TEST…]

Works on a copy below target/mutants, so a run that is cut leaves nothing behind. The checks are in list.toml. Takes about
half a minute a check, and is run by hand: `make mutants`.
"""
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutants"
# A test that failed, as nextest tells it; anything else, such as code that does not build, proves nothing.
FAILED = 100


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


def selected(test):
    """What holds the test, and the one test in it: `peers.rs::name` is tests/it/peers.rs, the rest are paths."""
    file, name = test.split("::")
    module = file.removeprefix("src/").removeprefix("tests/it/").removesuffix(".rs").removesuffix("/mod").replace("/", "::")
    # Tests stand in their file, in its `mod tests`, or are the fuzz targets.
    only = f"test(/^{module}::((tests|holds)::)?{name}$/)"
    return ["--lib" if file.startswith("src/") else "--test=it", "-E", only]


def run(tree, test):
    # Only what holds the test is built.
    command = ["cargo", "nextest", "run", "--locked", *selected(test)]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(SCRATCH / "target")}
    ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if ran.returncode not in (0, FAILED):
        print(ran.stderr[-4000:], file=sys.stderr)
        return "COULD NOT BE RUN"
    return "fails" if ran.returncode == FAILED else "PASSES"


def main():
    wanted = set(sys.argv[1:])
    tree = copy()
    killed = {True: 0, False: 0}
    mutants = tomllib.loads((ROOT / "tests/mutants/list.toml").read_text())["mutant"]
    chosen = [mutant for mutant in mutants if not wanted or wanted & {mutant["row"], *mutant["tests"]}]
    for mutant in chosen:
        path = tree / mutant["file"]
        original = path.read_text()
        if original.count(mutant["check"]) != 1:
            sys.exit(f"{mutant['file']} does not hold this once: {mutant['check']}")
        path.write_text(original.replace(mutant["check"], mutant["without"]))
        try:
            for test in mutant["tests"]:
                # Of a mutant that was asked for by a test, only that test.
                if wanted and mutant["row"] not in wanted and test not in wanted:
                    continue
                outcome = run(tree, test)
                print(f"{mutant['row']} {mutant['file']}: {test} {outcome}", flush=True)
                killed[outcome == "fails"] += 1
        finally:
            path.write_text(original)
    print(f"mutants: {killed[True]} passed, {killed[False]} failed")
    sys.exit(bool(killed[False]))


if __name__ == "__main__":
    main()
