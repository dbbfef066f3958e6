"""What `weft` says about itself is true: examples parse, the reference is current, a mistake is told."""

import re
import shlex
from pathlib import Path

import click
import pytest
from cli_kit import commands, run

from weftwork.apps.weft import LOCAL, weft
from weftwork.cli.command import Command
from weftwork.cli.reference import markdown

ROOT = Path(__file__).parents[3]
VERBS = dict(commands())
LOCAL_VERBS = ("completion", "version", "logout", "man", "schema", "context ", "config ")
"""Those that ask no server."""
OF_THE_HOST = ("stack ", "nic ", "router ")
"""Those that ask the agent of this host."""
ASKING = {name: command for name, command in VERBS.items() if not name.startswith((*LOCAL_VERBS, *OF_THE_HOST))}
ASKING_THE_AGENT = {name: command for name, command in VERBS.items() if name.startswith(OF_THE_HOST)}


@pytest.mark.parametrize("command", VERBS.values(), ids=VERBS.keys())
def test_each_command_has_three_examples_of_itself_that_parse(command: Command) -> None:
    assert len(command.examples) == 3

    for example in command.examples:
        words = shlex.split(example.split(" > ")[0])
        assert words[0] == "weft"
        ctx, found = _parsed(weft(), words[1:])
        assert found.callback is command.callback, f"{example} is {ctx.command_path}"


def _parsed(command: click.Command, words: list[str]) -> tuple[click.Context, click.Command]:
    """Follows the words down to the verb; raises UsageError as the real call would."""
    ctx = command.make_context("weft", words)
    while isinstance(ctx.command, click.Group):
        rest = [*ctx._protected_args, *ctx.args]
        name, child, rest = ctx.command.resolve_command(ctx, rest)
        assert child is not None
        ctx = child.make_context(name, rest, parent=ctx)
    return ctx, ctx.command


def test_the_reference_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()

    assert page == markdown(weft()) + "\n", "run: weft reference > docs/reference/cli.md"


def test_the_tutorial_uses_only_commands_that_exist() -> None:
    page = (ROOT / "docs/tutorial/first-network.md").read_text()
    lines = [line[2:] for line in page.splitlines() if re.match(r"\$ (sudo )?weft ", line)]
    assert len(lines) >= 10

    for line in lines:
        words = shlex.split(line.removeprefix("sudo ").split(" || ")[0], comments=True)
        if words[1] not in LOCAL:
            _parsed(weft(), words[1:])


@pytest.mark.parametrize("words", [(), ("--help",), ("vpc", "--help"), ("sg", "rule", "add", "--help")])
def test_help_needs_no_server(words: tuple[str, ...]) -> None:
    result = run(*words)

    assert "Usage: weft" in result.output
    assert result.exit_code == (0 if words else 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("frob",), "No such command 'frob'"),
        (("port", "frob"), "No such command 'frob'"),
        (("port", "show"), "Missing argument"),
        (("port", "show", "a", "b"), "unexpected extra argument"),
        (("port", "list", "-o", "xml"), "'xml' is not one of"),
        (("-P", "acme", "port", "list"), "not ORG/PROJECT"),
        (("port", "list", "-P", "Acme/Shop"), "not ORG/PROJECT"),
        (("port", "attach", "web1"), "Missing option '--vm'"),
        (("port", "set-groups", "web1"), "name the groups, or say --none"),
        (("port", "set-groups", "web1", "web", "--none"), "name the groups, or say --none"),
        (("port", "create", "--timeout", "soon"), "not a time"),
        (("port", "create", "--timeout", "0"), "not between"),
        (("port", "create", "--timeout", "2h"), "not between"),
        (("port", "create", "--exit-code"), "goes with --dry-run"),
        (("sg", "create", "web", "--ingress", "sctp 1 from any"), "not a protocol"),
        (("sg", "create", "web", "--egress", "tcp 1 from any"), "says 'to'"),
        (("sg", "update", "web"), "say what to replace"),
        (("sg", "update", "web", "--ingress", "all", "--no-ingress"), "without --no-ingress"),
        (("sg", "rule", "add", "web", "--protocol", "tcp"), "say one direction"),
        (("sg", "rule", "add", "web", "--ingress", "--to", "any"), "say one direction"),
        (("sg", "rule", "add", "web", "--ingress"), "say --from"),
        (("sg", "rule", "add", "web", "--egress"), "say --to"),
        (("sg", "rule", "add", "web", "--from", "any", "--ports", "80"), "all has no ports"),
        (("sg", "rule", "add", "web", "--from", "10.0.0.1/8"), "host bits"),
        (("dnat", "create", "--external", "x:1", "--to", "web1"), "not ADDRESS:PORT"),
        (("dnat", "create", "--external", "80", "--to", ":1"), "not a port or address"),
        (("wait", "frob", "x"), "'frob' is not one of"),
        (("wait", "port", "x", "--for", "Happiness"), "is not one of"),
        (("completion", "tcsh"), "is not one of"),
    ],
)
def test_a_wrong_command_line_is_told_before_any_server_is_asked(words: tuple[str, ...], says: str) -> None:
    result = run(*words)

    assert result.exit_code == 2
    assert result.stderr.startswith("error: USAGE: ")
    assert says in result.stderr
    assert "\nnext: weft" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ASKING.values(), ids=ASKING.keys())
def test_without_a_server_each_command_says_what_to_do(command: Command) -> None:
    result = run(*shlex.split(command.examples[0])[1:])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: SERVER_UNREACHABLE: no server answers at unix:/nonexistent/weftwork.sock\n"
        "next: start one with `weft up`, or name another with --server or WEFT_SERVER\n"
    )


@pytest.mark.parametrize("command", ASKING_THE_AGENT.values(), ids=ASKING_THE_AGENT.keys())
def test_without_an_agent_each_command_says_what_to_do(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_AGENT", "/nonexistent/agent.sock")

    result = run(*shlex.split(command.examples[0])[1:])

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: AGENT_UNREACHABLE: no agent answers at /nonexistent/agent.sock, or it does not let you\n"
        "next: start `weft agent`, as a user that it allows, or name its socket with --agent\n"
    )


def test_a_global_option_counts_before_the_noun_and_after_the_verb_and_beats_the_environment() -> None:
    for words in (
        ("--server", "unix:/a.sock", "port", "list"),
        ("port", "list", "--server", "unix:/a.sock"),
        ("--server", "unix:/b.sock", "port", "list", "--server", "unix:/a.sock"),
    ):
        assert "unix:/a.sock" in run(*words).stderr


def test_a_bare_path_is_a_socket() -> None:
    assert "no server answers at /a.sock" in run("vpc", "list", "--server", "/a.sock").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_calls_weft_back(shell: str) -> None:
    result = run("completion", shell)

    assert result.exit_code == 0
    assert f"_WEFT_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.parametrize("server", ["unix:/nonexistent/weftwork.sock", "127.0.0.1:1", "not an address"])
def test_completion_without_a_server_has_no_names_and_no_errors(server: str) -> None:
    result = run(server=server, _WEFT_COMPLETE="bash_complete", COMP_WORDS="weft port show ", COMP_CWORD="3")

    assert (result.exit_code, result.output.strip()) == (0, "")


def test_completion_knows_nouns_and_verbs() -> None:
    nouns = run(_WEFT_COMPLETE="bash_complete", COMP_WORDS="weft su", COMP_CWORD="1")
    verbs = run(_WEFT_COMPLETE="bash_complete", COMP_WORDS="weft sg d", COMP_CWORD="2")

    assert nouns.output.split() == ["plain,subnet"]
    assert verbs.output.split() == ["plain,delete"]


def test_the_version_is_printed_in_each_form() -> None:
    assert run("version").stdout.startswith("weft ")
    assert '"kind": "Version"' in run("version", "-o", "json").stdout
    assert "kind: Version" in run("version", "-o", "yaml").stdout
    assert len(run("version", "-o", "name").stdout.split()) == 1
