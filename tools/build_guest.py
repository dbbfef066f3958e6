#!/usr/bin/env python3
"""Builds the guest's init from `guest/` with Go and Debian's Go packages: static, and the same bytes everywhere.

    tools/build_guest.py [--test] [--output build/guest/init]

Nothing is fetched. It is built again only when its source or the compiler changed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "guest"
LIBRARIES = Path("/usr/share/gocode")
"""Of golang-golang-x-crypto-dev, golang-golang-x-sys-dev and golang-github-pkg-sftp-dev."""
PACKAGE = "weftwork/guest"
FLAGS = ("-trimpath", "-ldflags", "-s -w -buildid=")


def compiler() -> str:
    places = (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go")
    found = next((place for place in places if place and Path(place).exists()), None)
    return found or sys.exit("build-guest: there is no Go compiler: install golang-go")


def environment(folder: Path) -> dict[str, str]:
    """GOPATH mode: the libraries are those that Debian has under /usr/share/gocode, and nobody is asked for more."""
    workspace = folder / "gopath"
    linked = workspace / "src" / PACKAGE
    linked.parent.mkdir(parents=True, exist_ok=True)
    if not linked.is_symlink() or linked.resolve() != SOURCE:
        linked.unlink(missing_ok=True)
        linked.symlink_to(SOURCE)
    chosen = {"GO111MODULE": "off", "GOPATH": f"{workspace}:{LIBRARIES}", "GOPROXY": "off", "GOFLAGS": ""}
    chosen |= {"CGO_ENABLED": "0", "GOOS": "linux", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return os.environ | chosen | {"GOCACHE": os.environ.get("GOCACHE", str(folder / "go-cache"))}


def stamp(go: str) -> str:
    """Of everything that the result depends on."""
    digest = hashlib.sha256(subprocess.run([go, "version"], check=True, capture_output=True).stdout)
    digest.update(" ".join(FLAGS).encode())
    for path in sorted(SOURCE.glob("*.go")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def build(output: Path) -> None:
    go = compiler()
    built_of = output.with_suffix(".of")
    wanted = stamp(go)
    if output.exists() and built_of.exists() and built_of.read_text() == wanted:
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial")
    folder = ROOT / "build" / "guest"
    command = [go, "build", *FLAGS, "-o", str(partial), PACKAGE]
    result = subprocess.run(command, env=environment(folder), cwd=folder / "gopath" / "src" / PACKAGE)
    if result.returncode:
        sys.exit("build-guest: it did not build")
    partial.rename(output)
    built_of.write_text(wanted)


def test() -> int:
    folder = ROOT / "build" / "guest"
    variables = environment(folder)
    place = folder / "gopath" / "src" / PACKAGE
    for command in (["vet", "."], ["test", "-count=1", "."]):
        if code := subprocess.run([compiler(), *command], env=variables, cwd=place).returncode:
            return code
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", action="store_true", help="vet it and run its unit tests instead")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "guest" / "init")
    options = parser.parse_args()
    if options.test:
        return test()
    build(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
