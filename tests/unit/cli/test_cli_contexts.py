"""Which server a command talks to and what it shows there: flags, variables, files and contexts, also hostile ones."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_kit import run
from cli_server import Weft
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from weftwork.apps.weft import weft as make_weft
from weftwork.cli import config_files
from weftwork.cli.config_files import ContextsFile
from weftwork.cli.precedence import DEFAULTS, Context, Level, Source, choose
from weftwork.cli.problems import Problem

STRANGER = 65534


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user, a machine and a project without any settings; the project is where one is."""
    for name in ("etc", "home", "repository"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.setattr(config_files, "SYSTEM", tmp_path / "etc")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path / "repository")
    (tmp_path / "home/weft").mkdir()
    return tmp_path


def at_home(home: Path, *args: str, **env: str | None) -> Result:
    return run(*args, server=None, XDG_CONFIG_HOME=str(home / "home"), **env)


def settings(home: Path, *args: str, **env: str | None) -> dict[str, tuple[str, str]]:
    """Value and origin of each."""
    result = at_home(home, *args, "config", "show", "--origin", "-o", "json", **env)
    assert result.exit_code == 0, result.output
    return {one["setting"]: (one["value"], one["origin"]) for one in json.loads(result.stdout)["items"]}


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def add(home: Path, name: str, server: str, *more: str, token: str = "") -> None:
    words = ("context", "add", name, "--server", server, *more, *(["--token-stdin"] if token else []))
    result = CliRunner().invoke(make_weft(), list(words), input=token, prog_name="weft")
    assert result.exit_code == 0, result.output


# --- Precedence -------------------------------------------------------------------------------------------------------


PLACES = [level for level in Level if level not in (Level.CONTEXT, Level.DEFAULT)]


@given(st.dictionaries(st.sampled_from(PLACES), st.integers()))
def test_the_nearest_place_that_says_a_setting_is_believed(said: dict[Level, int]) -> None:
    sources = [Source(level, str(level), {"project": f"acme/p{number}"}) for level, number in said.items()]

    found = choose(sources, {}).said["project"]
    assert found.value == (f"acme/p{said[min(said)]}" if said else DEFAULTS["project"])


@given(st.permutations(PLACES))
def test_a_context_brings_its_server_at_the_level_that_names_it(levels: list[Level]) -> None:
    naming, saying = levels[:2]
    sources = [Source(naming, "a", {"context": "prod"}), Source(saying, "b", {"server": "other:1"})]
    chosen = choose(sources, {"prod": Context("prod", "prod:1", project="acme/web")})

    assert chosen.said["server"].value == ("prod:1" if naming < saying else "other:1")
    assert (chosen.context is None) == (naming > saying)


def test_every_level_is_told_with_its_origin(home: Path) -> None:
    write(home / "etc/config.toml", 'server = "etc:1"\nproject = "etc/p"\noutput = "wide"\ncolor = "never"')
    assert settings(home)["server"] == ("etc:1", f"{home}/etc/config.toml")
    write(home / "home/weft/config.toml", 'server = "user:1"\nproject = "user/p"')
    assert settings(home)["server"] == ("user:1", f"{home}/home/weft/config.toml")
    write(home / "repository/.weft.toml", 'project = "repo/p"')
    assert settings(home)["project"] == ("repo/p", f"{home}/repository/.weft.toml")
    assert settings(home, WEFT_PROJECT="env/p")["project"] == ("env/p", "WEFT_PROJECT")
    assert settings(home, "-P", "flag/p", WEFT_PROJECT="env/p")["project"] == ("flag/p", "--project")
    assert settings(home)["color"] == ("never", f"{home}/etc/config.toml")
    assert settings(home, NO_COLOR="1")["color"] == ("never", "NO_COLOR")
    assert settings(home, "--color", "always", NO_COLOR="1")["color"][0] == "always"


def test_a_projects_file_is_found_from_below_and_a_named_one_is_taken_instead(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "repository/.weft.toml", 'project = "repo/p"')
    (home / "repository/a/b").mkdir(parents=True)
    monkeypatch.chdir(home / "repository/a/b")
    other = write(home / "other.toml", 'project = "other/p"')

    assert settings(home)["project"][0] == "repo/p"
    assert settings(home, WEFT_PROJECT_FILE=str(other))["project"][0] == "other/p"
    assert settings(home, WEFT_PROJECT_FILE="")["project"][0] == DEFAULTS["project"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('servre = "x:1"', "did you mean `server`"),
        ("server = 1", "not a text"),
        ("server", "not TOML"),
        ('server = "nowhere"', "neither unix:PATH nor HOST:PORT"),
        ('project = "acme"', "not ORG/PROJECT"),
        ('output = "xml"', "'xml' is not a valid Output"),
        ("#" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_meant_is_told_with_its_place(home: Path, text: str, says: str) -> None:
    path = write(home / "home/weft/config.toml", text)

    result = at_home(home, "config", "show")
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(path) in result.stderr
    assert says in result.stderr


def test_a_context_and_a_server_in_one_place_are_refused(home: Path) -> None:
    add(home, "prod", "prod:1")

    result = at_home(home, "--context", "prod", "--server", "other:1", "config", "show")
    assert (result.exit_code, "--server and --context" in result.stderr) == (2, True)
    assert settings(home, "--context", "prod", WEFT_SERVER="other:1")["server"][0] == "prod:1"


# --- Contexts ---------------------------------------------------------------------------------------------------------


def test_contexts_are_added_used_shown_and_removed(home: Path) -> None:
    add(home, "prod", "prod:1", "-P", "acme/web")
    add(home, "lab", "unix:/lab.sock", "--use")
    assert at_home(home, "context", "list", "-o", "name").stdout.split() == ["lab", "prod"]
    assert settings(home)["server"] == ("unix:/lab.sock", f"context lab ({home}/home/weft/contexts.toml)")

    assert at_home(home, "context", "use", "prod").exit_code == 0
    assert settings(home)["project"][0] == "acme/web"
    assert "CURRENT      yes" in at_home(home, "context", "show", "prod").stdout
    assert at_home(home, "context", "add", "prod", "--server", "other:1").exit_code == 3
    assert at_home(home, "context", "add", "prod", "--server", "other:1", "--replace").exit_code == 0
    assert settings(home)["server"][0] == "other:1"

    assert at_home(home, "context", "remove", "prod").exit_code == 0
    assert settings(home)["server"][0] == DEFAULTS["server"]
    assert at_home(home, "context", "use", "lb").stderr.startswith(
        "error: CONTEXT_NOT_FOUND: there is no context lb. Did you mean lab?"
    )
    assert at_home(home, "--context", "prod", "vpc", "list").exit_code == 4


def test_a_token_is_kept_for_its_owner_and_never_shown(home: Path) -> None:
    add(home, "prod", "prod:1", token="weft_s3cret\n")
    kept = home / "home/weft/contexts.toml"

    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for words in (("context", "list", "-o", "wide"), ("context", "show", "prod", "-o", "json"), ("config", "show")):
        result = at_home(home, *words)
        assert "s3cret" not in result.output
    assert settings(home, "--context", "prod")["token"] == ("(set)", f"context prod ({kept})")
    assert "s3cret" not in repr(ContextsFile(home / "home/weft").contexts)


names = st.from_regex(config_files.CONTEXT_NAME, fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.dictionaries(names, st.tuples(texts, texts, texts), max_size=3))
def test_what_is_written_is_read_again(contexts: Mapping[str, Any]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = ContextsFile(Path(folder))
        place = str(file.path)
        for name, (server, token, ca) in contexts.items():
            file.contexts[name] = Context(name, server, ca=ca, token=token, place=place)
        file.current = "x"
        file.write()

        again = ContextsFile(Path(folder))
        assert (again.contexts, again.current) == (file.contexts, "x")


# --- What is shown to whom --------------------------------------------------------------------------------------------


@pytest.fixture
def tokened(home: Path, weft: Weft) -> str:
    """A token of the real server, which says `member` for whoever shows it."""
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    return weft.ok("token", "create", "ci", "--role", "member").strip()


def test_a_contexts_token_is_shown_to_its_server_and_to_no_other(home: Path, weft: Weft, tokened: str) -> None:
    add(home, "prod", weft.server, token=tokened)
    add(home, "elsewhere", "unix:/elsewhere.sock", token=tokened)

    assert "member@" in at_home(home, "--context", "prod", "whoami").stdout
    assert "fleet-admin" in at_home(home, "--server", weft.server, "whoami").stdout
    at_home(home, "context", "use", "elsewhere")
    assert "fleet-admin" in at_home(home, "whoami", WEFT_SERVER=weft.server).stdout


@pytest.mark.parametrize("key", ["server", "ca", "certificate", "key", "token", "token_file"])
def test_a_repository_cannot_say_which_server_or_what_is_shown_to_it(home: Path, key: str) -> None:
    write(home / "repository/.weft.toml", f'{key} = "evil.example:443"')

    result = at_home(home, "vpc", "list", WEFT_TOKEN="weft_secret")
    assert result.exit_code == 2
    assert "not for a project's file" in result.stderr
    assert "evil.example" not in result.stderr


def test_a_repository_that_chooses_a_context_gets_that_contexts_token_and_no_other(
    home: Path, weft: Weft, tokened: str
) -> None:
    add(home, "prod", weft.server, token=tokened)
    add(home, "mine", "unix:/mine.sock", "--use")
    write(home / "repository/.weft.toml", 'context = "prod"')

    assert "member@" in at_home(home, "whoami").stdout
    withheld = at_home(home, "whoami", WEFT_TOKEN=tokened)
    assert (withheld.exit_code, "TOKEN_WITHHELD" in withheld.stderr) == (5, True)
    assert tokened not in withheld.output
    assert at_home(home, "whoami", WEFT_TOKEN=tokened, WEFT_CONTEXT="prod").exit_code == 0
    assert at_home(home, "whoami", WEFT_TOKEN=tokened, WEFT_PROJECT_FILE="", WEFT_SERVER=weft.server).exit_code == 0


def test_a_repository_cannot_name_what_the_user_has_not_made(home: Path) -> None:
    write(home / "repository/.weft.toml", 'context = "evil"')

    assert at_home(home, "vpc", "list").stderr.startswith("error: CONTEXT_NOT_FOUND: ")


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_a_projects_file_that_others_may_write_is_not_read(home: Path, mode: int) -> None:
    write(home / "repository/.weft.toml", 'project = "evil/p"', mode)

    result = at_home(home, "config", "show")
    assert "evil" not in result.stdout
    assert "others may write it" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_projects_file_of_somebody_else_is_not_read_unless_they_are_who_calls(home: Path) -> None:
    path = write(home / "repository/.weft.toml", 'project = "theirs/p"')
    os.chown(path, STRANGER, STRANGER)

    assert "theirs" not in at_home(home, "config", "show").stdout
    assert "theirs/p" in at_home(home, "config", "show", SUDO_UID=str(STRANGER)).stdout


@pytest.mark.parametrize("name", ["config.toml", "contexts.toml"])
def test_a_file_of_the_users_that_others_may_write_stops_everything(home: Path, name: str) -> None:
    write(home / "home/weft" / name, "", 0o606)

    result = at_home(home, "vpc", "list")
    assert (result.exit_code, "CONFIG_EXPOSED" in result.stderr) == (5, True)
    assert "chmod go-w" in result.stderr


def test_tokens_that_others_may_read_are_not_used(home: Path) -> None:
    add(home, "prod", "prod:1", token="weft_s3cret")
    (home / "home/weft/contexts.toml").chmod(0o644)
    result = at_home(home, "vpc", "list")
    assert (result.exit_code, "CONFIG_EXPOSED" in result.stderr) == (5, True)

    (home / "home/weft/contexts.toml").chmod(0o600)
    secret = write(home / "token", "weft_s3cret", 0o644)
    assert at_home(home, "context", "add", "x", "--server", "x:1", "--token-file", str(secret)).exit_code == 5
    secret.chmod(0o600)
    add(home, "x", "x:1", "--token-file", str(secret))
    secret.chmod(0o640)
    result = at_home(home, "--context", "x", "vpc", "list")
    assert (result.exit_code, "CONFIG_EXPOSED" in result.stderr) == (5, True)


def test_neither_a_pipe_nor_a_folder_holds_a_command_up(home: Path) -> None:
    os.mkfifo(home / "repository/.weft.toml", 0o600)
    assert "it is no file" in at_home(home, "config", "show").stderr
    (home / "repository/.weft.toml").unlink()
    (home / "repository/.weft.toml").mkdir()
    assert "Is a directory" in at_home(home, "config", "show").stderr


def test_a_problem_of_a_place_is_raised_before_anything_is_sent() -> None:
    with pytest.raises(Problem, match="there is no context x"):
        choose([Source(Level.PROJECT_FILE, ".weft.toml", {"context": "x"})], {})
