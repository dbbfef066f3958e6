"""`weft image`: the container images of this machine, as root file systems for microVMs."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weftwork.base.errors import Failure, Refusal

if TYPE_CHECKING:
    from weftwork.images.cache import Image, Images

FOLDER = Path("/var/lib/weftwork/images")

_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    envvar="WEFT_IMAGES_FOLDER",
    show_default=True,
    help="Where images are kept.",
)
_platform = click.option("--platform", default="", help="Such as linux/arm64; this machine's when it is not given.")


@click.group()
def image() -> None:
    """Pull, list and remove the container images of this machine."""


@image.command()
@click.argument("name")
@_platform
@_folder
def pull(name: str, platform: str, folder: Path) -> None:
    """Fetch an image from its registry, verify it, and make a root file system of it.

    \b
    Examples:
      weft image pull nginx
      weft image pull ghcr.io/org/app@sha256:...
      weft image pull 127.0.0.1:5000/app:1 --platform linux/amd64
    """
    with _errors(), _progress() as told:
        _print(asyncio.run(_images(folder).pull(name, _chosen(platform), told)))


@image.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", default=None, help="Which of several images the file holds, and what it is to be called.")
@_platform
@_folder
def load(path: Path, name: str | None, platform: str, folder: Path) -> None:
    """Take an image from disk: an OCI layout (a folder or its tar) or what `docker save` wrote.

    \b
    Examples:
      weft image load ./layout --name app:1
      weft image load app.tar
    """
    with _errors(), _progress() as told:
        _print(asyncio.run(_images(folder).load(path, name, _chosen(platform), told)))


@image.command("list")
@click.option("-o", "output", type=click.Choice(("table", "json", "name")), default="table", show_default=True)
@_folder
def list_images(output: str, folder: Path) -> None:
    """List the images that are here."""
    with _errors():
        images = _images(folder).list()
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in images], indent=2))
        return
    if output == "table" and images:
        click.echo(f"{'ID':<12}  {'FILES':>8}  {'SIZE':>9}  {'PLATFORM':<12}  NAMES")
    for one in images:
        names = ", ".join(one.names) or "-"
        size = f"{one.bytes / 2**20:.1f} MiB"
        line = f"{one.short_id}  {one.entries:>8}  {size:>9}  {one.platform:<12}  {names}"
        click.echo(one.short_id if output == "name" else line)


@image.command()
@click.argument("name")
@_folder
def show(name: str, folder: Path) -> None:
    """Show an image: what it runs, and where its root file system lies. NAME may be the beginning of its id."""
    with _errors():
        images = _images(folder)
        found = images.find(name)
        text = {"disk": str(images.disk(found)), "config": asdict(images.config(found))}
    click.echo(json.dumps(asdict(found) | text, indent=2))


@image.command()
@click.argument("names", nargs=-1, required=True)
@_folder
def rm(names: tuple[str, ...], folder: Path) -> None:
    """Forget names of images; an image goes with its last name, or by its id."""
    with _errors():
        images = _images(folder)
        for name in names:
            click.echo(f"removed {name} ({images.remove(name).short_id})")


@image.command()
@_folder
def prune(folder: Path) -> None:
    """Remove what belongs to no named image and is not in use."""
    with _errors():
        click.echo(f"freed {_images(folder).prune() / 2**20:.1f} MiB")


def _images(folder: Path) -> "Images":
    if os.geteuid():
        raise Failure("NOT_ROOT", "owners and devices of an image are root's to make: run it as root")
    from weftwork.images.cache import Images

    return Images(folder)


def _chosen(platform: str):  # type: ignore[no-untyped-def]  # imported late, with what is slow to import
    from weftwork.images.oci import Platform

    return Platform.parse(platform) if platform else Platform.of_this_machine()


def _print(taken: "Image") -> None:
    click.echo(f"{taken.short_id}  {', '.join(taken.names)}  {taken.entries} files, {taken.bytes / 2**20:.1f} MiB")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """One line that is written over, on terminals only."""
    shown = sys.stderr.isatty()

    def tell(what: str, done: int, whole: int) -> None:
        if shown:
            amount = f"{done / 2**20:.1f} of {whole / 2**20:.1f} MiB" if what == "fetched" else f"{done} of {whole}"
            click.echo(f"\r\x1b[K{what} {amount}", nl=False, err=True)

    try:
        yield tell
    finally:
        if shown:
            click.echo("\r\x1b[K", nl=False, err=True)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (Refusal, Failure) as error:
        from weftwork.apps.node import tell

        tell(error)
        sys.exit(1)
    except OSError as error:
        click.echo(f"error: {error.filename or 'the images'}: {error.strerror}", err=True)
        sys.exit(1)
