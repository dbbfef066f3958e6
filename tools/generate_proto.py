#!/usr/bin/env python3
"""Makes src/weftwork/rpc/generated from proto/, with types. `--check` only says whether it is up to date.

protoc writes absolute imports from the root of proto/; here they become imports below weftwork.rpc.generated.
What the .proto files say in comments goes into comments.py, for the OpenAPI document.
"""

import argparse
import difflib
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from os import environ, pathsep
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto"
GENERATED = ROOT / "src/weftwork/rpc/generated"
PACKAGE = "weftwork.rpc.generated"
MARKER = '"""Generated from proto/ by tools/generate_proto.py: do not edit."""\n'

DESCRIPTORS = "descriptors.binpb"
COMMENTS = Path("comments.py")

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
            "--include_source_info",
            f"--descriptor_set_out={into / DESCRIPTORS}",
            *map(str, sources()),
        ]
    )
    if status:
        raise SystemExit("generate_proto: protoc failed")


def import_from_here(text: str) -> str:
    """Turns the imports of our own generated modules into imports below PACKAGE."""
    packages = "|".join(sorted({re.escape(".".join(path.parent.parts)) for path in sources()}))
    return re.sub(rf"^from ({packages}) import ", rf"from {PACKAGE}.\1 import ", text, flags=re.MULTILINE)


def comments(files: FileDescriptorSet) -> str:
    """A module that has what the .proto files say of each message, field, enum, value and RPC, by full name."""
    said: dict[str, str] = {}
    for file in files.file:
        names = dict(named(file))
        for location in file.source_code_info.location:
            text = (location.leading_comments or location.trailing_comments).strip()
            name = names.get(tuple(location.path))
            if text and name:
                said[name] = " ".join(text.split())
    lines = "".join(f"    {name!r}: {said[name]!r},\n" for name in sorted(said))
    return f"{MARKER}\nCOMMENTS: dict[str, str] = {{\n{lines}}}\n"


def named(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """The path of each thing in the file, as source_code_info has it, and its full name."""
    for at, service in enumerate(file.service):
        yield (6, at), f"{file.package}.{service.name}"
        for index, method in enumerate(service.method):
            yield (6, at, 2, index), f"{file.package}.{service.name}.{method.name}"
    for at, message in enumerate(file.message_type):
        yield from named_in(message, (4, at), file.package)
    for at, enum in enumerate(file.enum_type):
        yield (5, at), f"{file.package}.{enum.name}"


def named_in(message: DescriptorProto, path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for at, field in enumerate(message.field):
        yield (*path, 2, at), f"{name}.{field.name}"
    for at, nested in enumerate(message.nested_type):
        yield from named_in(nested, (*path, 3, at), name)
    for at, enum in enumerate(message.enum_type):
        yield (*path, 4, at), f"{name}.{enum.name}"


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
        tree[COMMENTS] = comments(FileDescriptorSet.FromString((into / DESCRIPTORS).read_bytes()))
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
