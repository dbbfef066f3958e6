"""Files that tell the CLI what to do: read with care, because they decide to whom a token is shown.

`/etc/weft`, `~/.config/weft` and a project's own `.weft.toml`. In each of the first two `config.toml` has settings and
is only read; `contexts.toml` has the servers by name, and `weft context` writes the user's.
"""

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from weftwork.cli.precedence import KEYS, PROJECT_FILE_KEYS, Context, Level, Source
from weftwork.cli.problems import ExitCode, Problem, note

SYSTEM = Path("/etc/weft")
PROJECT_FILE = ".weft.toml"
NAMED_FILE = "WEFT_PROJECT_FILE"
"""The project's file, instead of a search for it; empty: none."""
BYTES_MAX = 64 * 1024
CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CONTEXT_KEYS = tuple(one.name for one in fields(Context) if one.name not in ("name", "place"))


class ContextsFile:
    """The contexts of one folder, and which is the current one (only the user's own file knows one)."""

    def __init__(self, folder: Path) -> None:
        """Problems CONFIG_EXPOSED and CONFIG_REFUSED."""
        self.path = folder / "contexts.toml"
        table = _trusted(self.path)
        self.current = str(table.pop("current", ""))
        known = table.pop("contexts", {})
        if table or not isinstance(known, dict):
            raise refused(self.path, "it holds `current` and tables called `contexts.NAME`, and nothing else")
        self.contexts = {name: _context(self.path, name, values) for name, values in known.items()}
        if any(one.token for one in self.contexts.values()):
            check_secret(self.path)

    def write(self) -> None:
        """For this user alone, from its first byte; as a whole or not at all."""
        lines = [f"current = {_quoted(self.current)}"] if self.current else []
        for context in self.contexts.values():
            lines += ["", f"[contexts.{_quoted(context.name)}]"]
            lines += [f"{key} = {_quoted(getattr(context, key))}" for key in _CONTEXT_KEYS if getattr(context, key)]
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent)  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(lines).lstrip("\n") + "\n")
        Path(name).replace(self.path)


def user_folder() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "weft"


@dataclass(frozen=True, slots=True)
class Files:
    """What the project, the user and the machine say, and the contexts by name: the user's before the machine's."""

    sources: tuple[Source, ...]
    contexts: Mapping[str, Context]


def read_files() -> Files:
    """Problems as ContextsFile's."""
    named = {Level.USER: ContextsFile(user_folder()), Level.SYSTEM: ContextsFile(SYSTEM)}
    sources = [source for level, file in named.items() for source in _of_folder(level, file)]
    if (path := project_file()) and (table := _of_project(path)):
        sources.append(Source(Level.PROJECT_FILE, str(path), table))
    return Files(tuple(sources), {**named[Level.SYSTEM].contexts, **named[Level.USER].contexts})


def _of_folder(level: Level, file: ContextsFile) -> Iterator[Source]:
    path = file.path.with_name("config.toml")
    table = _settings(path, _trusted(path), KEYS)
    if file.current and not {"server", "context"} & table.keys():
        yield Source(level, str(file.path), {"context": file.current})
    if table:
        yield Source(level, str(path), table)


def project_file() -> Path | None:
    """The nearest one, from here upwards."""
    named = os.environ.get(NAMED_FILE)
    if named is not None:
        return Path(named) if named else None
    try:
        here = Path.cwd()
    except OSError:
        return None
    return next((path for folder in (here, *here.parents) if _is_there(path := folder / PROJECT_FILE)), None)


def check_secret(path: Path) -> None:
    """Problem CONFIG_EXPOSED when others may read what only its owner should."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise exposed(path, f"others may read {path}, which holds a secret", f"chmod 600 {path}")


def exposed(path: Path, what: str, fix: str) -> Problem:
    return Problem(ExitCode.DENIED, "CONFIG_EXPOSED", what, hint=f"look at what it says ({path}), then: {fix}")


def refused(path: Path, what: str) -> Problem:
    return Problem(ExitCode.USAGE, "CONFIG_REFUSED", f"{path}: {what}", hint="see docs/howto/contexts.md")


def _of_project(path: Path) -> Mapping[str, str]:
    """Nothing from a file that somebody else has made, or may change: it would say where we work."""
    found, text = _read(path)
    if why := _why_not(found, {0, os.geteuid(), int(os.environ.get("SUDO_UID", 0))}):
        note(f"note: {path} is not read: {why}")
        return {}
    table = _parsed(path, text)
    for key in table:
        if key not in PROJECT_FILE_KEYS and key in (*KEYS, *_CONTEXT_KEYS):
            raise refused(path, f"`{key}` is not for a project's file: it may only name a context that you have made")
    return _settings(path, table, PROJECT_FILE_KEYS)


def _trusted(path: Path) -> dict[str, Any]:
    """Empty when there is none. Problem CONFIG_EXPOSED when others may have written it."""
    if not _is_there(path):
        return {}
    found, text = _read(path)
    if why := _why_not(found, {0, os.geteuid()}):
        raise exposed(path, f"{path} is not used: {why}", f"chown $USER {path} && chmod go-w {path}")
    return _parsed(path, text)


def _is_there(path: Path) -> bool:
    """What we may not even look for is not there for us."""
    try:
        return path.exists()
    except OSError:
        return False


def _why_not(found: os.stat_result, owners: set[int]) -> str:
    """Why one should not believe a file. A group of its owner's own counts as the owner."""
    if found.st_uid not in owners:
        return "it belongs to another user"
    is_shared = found.st_mode & stat.S_IWGRP and found.st_gid != found.st_uid
    return "others may write it" if found.st_mode & stat.S_IWOTH or is_shared else ""


def _read(path: Path) -> tuple[os.stat_result, bytes]:
    """What is judged is what is read, whatever the path leads to by then."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise refused(path, "it is no file")
            text = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise refused(path, error.strerror or "it cannot be read") from None
    if len(text) > BYTES_MAX:
        raise refused(path, f"it has more than {BYTES_MAX} bytes")
    return found, text


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refused(path, f"it is not TOML: {error}") from None


def _settings(path: Path, table: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    for key, value in table.items():
        _check_known(path, key, keys)
        if not isinstance(value, str):
            raise refused(path, f"`{key}` is not a text in quotes")
    return dict(table)


def _context(path: Path, name: str, values: Any) -> Context:
    if not CONTEXT_NAME.fullmatch(name) or not isinstance(values, dict) or "server" not in values:
        raise refused(path, f"contexts.{name!r} is no name with a server")
    return Context(name=name, place=str(path), **_settings(path, values, _CONTEXT_KEYS))


def _check_known(path: Path, key: str, keys: tuple[str, ...]) -> None:
    if key not in keys:
        import difflib

        near = difflib.get_close_matches(key, keys, 1)
        meant = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(keys)}"
        raise refused(path, f"`{key}` is no setting; {meant}")


def _quoted(text: str) -> str:
    """As TOML has it, which for what can be printed is as JSON does."""
    return json.dumps(text, ensure_ascii=False)
