#!/usr/bin/env python3
"""Makes src/weftwork/rpc/generated from proto/, with types. `--check` only says whether it is up to date.

protoc writes absolute imports from the root of proto/; here they become imports below weftwork.rpc.generated.
"""

import argparse
import difflib
import re
import shutil
import sys
import sysconfig
import tempfile
from importlib.resources import files
from os import environ, pathsep
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto"
GENERATED = ROOT / "src/weftwork/rpc/generated"
PACKAGE = "weftwork.rpc.generated"
MARKER = '"""Generated from proto/ by tools/generate_proto.py: do not edit."""\n'

Tree = dict[Path, str]
"""Relative path -> text."""


def sources() -> list[Path]:
    """The .proto files, relative to proto/."""
    return sorted(path.relative_to(PROTO) for path in PROTO.rglob("*.proto"))


def run_protoc(into: Path) -> None:
    """Writes messages, services and their type stubs; SystemExit when a file of proto/ is wrong."""
    # The plugins that write type stubs stand beside this Python.
    environ["PATH"] = pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTO}",
            f"-I{files('grpc_tools') / '_proto'}",  # google/protobuf
            f"-I{sysconfig.get_path('purelib')}",  # google/rpc
            f"--python_out={into}",
            f"--grpc_python_out={into}",
            f"--mypy_out=quiet:{into}",
            f"--mypy_grpc_out=quiet:{into}",
            *map(str, sources()),
        ]
    )
    if status:
        raise SystemExit("generate_proto: protoc failed")


def import_from_here(text: str) -> str:
    """Turns the imports of our own generated modules into imports below PACKAGE."""
    packages = "|".join(sorted({re.escape(".".join(path.parent.parts)) for path in sources()}))
    return re.sub(rf"^from ({packages}) import ", rf"from {PACKAGE}.\1 import ", text, flags=re.MULTILINE)


def generate() -> Tree:
    """What has to be below GENERATED."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        run_protoc(into)
        tree = {
            path.relative_to(into): import_from_here(path.read_text())
            for path in sorted(into.rglob("*"))
            if path.suffix in {".py", ".pyi"}
        }
    packages = {parent for path in tree for parent in path.parents}
    return tree | {package / "__init__.py": MARKER for package in packages}


def present() -> Tree:
    """What is below GENERATED now."""
    return {
        path.relative_to(GENERATED): path.read_text()
        for path in sorted(GENERATED.rglob("*"))
        if path.suffix in {".py", ".pyi"}
    }


def write(tree: Tree) -> None:
    """Makes GENERATED hold `tree` and nothing else."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    for path, text in tree.items():
        target = GENERATED / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def differences(old: Tree, new: Tree) -> list[str]:
    """Unified diffs of the files that differ."""
    return [
        line
        for path in sorted(old.keys() | new.keys())
        for line in difflib.unified_diff(
            old.get(path, "").splitlines(),
            new.get(path, "").splitlines(),
            f"{path} (now)",
            f"{path}",
            lineterm="",
        )
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    options = parser.parse_args()
    tree = generate()
    if not options.check:
        write(tree)
        return 0
    stale = differences(present(), tree)
    if stale:
        print(*stale[:40], "generated protobuf code is out of date: run `make proto`", sep="\n", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
