"""`weft explain` against a real server: what it says, what it proposes to type, and that typing it helps."""

import json
import shlex
from typing import Any

import pytest
from cli_kit import run
from cli_server import Weft


@pytest.fixture
def net(weft: Weft) -> Weft:
    """web1 and web2 in `web`, db1 in `db`, which lets in tcp 5432 from `web`; idle has nobody behind it."""
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    weft.ok(
        "sg", "create", "web", "--ingress", "tcp 80 from any", "--ingress", "icmp from web", "--egress", "all to any"
    )
    weft.ok("sg", "create", "db", "--ingress", "tcp 5432 from web", "--egress", "all to any")
    for name, group in (("web1", "web"), ("web2", "web"), ("db1", "db")):
        weft.ok("port", "create", name, "--group", group, "--vm", name)
    weft.ok("port", "create", "idle", "--group", "db")
    return weft


def explained(net: Weft, *words: str, exit_code: int) -> dict[str, Any]:
    result = net("explain", *words, "-o", "json")
    assert result.exit_code == exit_code, result.output
    told = json.loads(result.stdout)["items"]
    return dict(told[0])


def typed(net: Weft, command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "weft"
    result = run(*words[1:], "--no-wait", server=net.server, WEFT_PROJECT=net.project)
    assert result.exit_code == 0, result.output


def test_a_way_that_is_open_is_told_hop_by_hop(net: Weft) -> None:
    result = net("explain", "web1", "db1", "tcp/5432")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "web1 reaches db1 by tcp/5432"
    assert "tcp 5432 from group web  INGRESS_RULE" in result.stdout
    assert "Answers from db1 to web1 are part of the flow and need no rule of their own." in result.stdout


def test_a_way_that_is_closed_is_told_with_what_nearly_allows_it_and_what_would(net: Weft) -> None:
    result = net("explain", "web1", "db1", "tcp/5433")

    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "web1 cannot reach db1 by tcp/5433: NO_INGRESS_RULE"
    assert "db has 'tcp 5432 from group web', for other ports" in result.stdout
    assert "The smallest change:\n  weft " in result.stdout
    assert "security-group rule add db --ingress --protocol tcp --ports 5433 --from 10.20.0.2/32" in result.stdout


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (("web1", "web2", "tcp/22"), {"NO_INGRESS_RULE"}),
        (("web1", "192.0.2.7", "tcp/80"), {"NO_SNAT"}),
        (("web1", "internet", "udp/53"), {"NO_SNAT"}),
        (("internet", "web2", "tcp/80"), {"NO_DNAT"}),
        (("internet", "db1", "tcp/443"), {"NO_DNAT", "NO_INGRESS_RULE"}),
        (("10.20.0.2", "10.20.0.4", "icmp"), {"NO_INGRESS_RULE"}),
    ],
)
def test_what_is_proposed_can_be_typed_and_helps(net: Weft, words: tuple[str, ...], codes: set[str]) -> None:
    told = explained(net, *words, exit_code=1)
    assert {one["reason"]["code"] for one in told["blockers"]} == codes

    for command in told["changes"][0]["commands"]:
        typed(net, command)

    explained(net, *words, exit_code=0)


def test_every_alternative_can_be_typed(net: Weft) -> None:
    told = explained(net, "db1", "web1", "tcp/5432", exit_code=1)
    assert len(told["changes"]) == 3

    for change in told["changes"]:
        for command in change["commands"]:
            typed(net, f"{command} --dry-run")


def test_a_port_without_a_guest_is_told_and_so_is_whatever_else_is_missing(net: Weft) -> None:
    told = explained(net, "idle", "web1", "tcp/22", exit_code=1)

    codes = [one["reason"]["code"] for one in told["blockers"]]
    assert codes == ["SENDER_NOT_ATTACHED", "NO_INGRESS_RULE"]
    assert any(command.endswith("port attach idle --vm VM") for command in told["changes"][0]["commands"])


def test_a_port_without_groups_gets_one_that_allows_just_this(net: Weft) -> None:
    net.ok("port", "create", "bare", "--vm", "bare")
    net.ok("port", "set-groups", "bare", "--none")
    net.ok("sg", "update", "web", "--no-egress")
    net.ok("sg", "update", "db", "--no-egress")
    net.ok("sg", "update", "default", "--no-egress")

    told = explained(net, "bare", "web1", "tcp/80", exit_code=1)
    for command in told["changes"][0]["commands"]:
        typed(net, command)

    explained(net, "bare", "web1", "tcp/80", exit_code=0)


def test_a_policy_that_denies_gets_an_exception_for_this_alone(net: Weft) -> None:
    net.ok("np", "create", "no-db", "--kind", "ingress", "--priority", "10", "--rule", "deny tcp 5432 from any")
    net.ok("np", "create", "apart", "--kind", "isolation", "--subnet", "default", "--priority", "20")

    told = explained(net, "web1", "db1", "tcp/5432", exit_code=1)
    assert [one["reason"]["code"] for one in told["blockers"]] == ["POLICY_DENIED"]
    assert told["changes"][0]["commands"] == [
        "weft network-policy rule add no-db 'allow tcp 5432 with 10.20.0.2/32' --at 1"
    ]
    for command in told["changes"][0]["commands"]:
        typed(net, command)

    explained(net, "web1", "db1", "tcp/5432", exit_code=0)
    explained(net, "web2", "db1", "tcp/5432", exit_code=1)


def test_both_ways_are_two_questions(net: Weft) -> None:
    result = net("explain", "web1", "db1", "tcp/5432", "--both", "-o", "json")

    there, back = json.loads(result.stdout)["items"]
    assert (there["reachable"], back["reachable"]) == (True, False)
    assert (there["source"], back["source"]) == ("web1", "db1")
    assert result.exit_code == 1


def test_what_no_change_helps_against_says_so(net: Weft) -> None:
    result = net("explain", "web1", "10.20.0.77", "tcp/80")

    assert result.exit_code == 1
    assert "NOBODY_THERE" in result.stdout
    assert "No change of this project alone would help." in result.stdout


def test_without_an_agent_nothing_is_sent_and_the_answer_stands(net: Weft) -> None:
    result = net("explain", "web1", "db1", "tcp/5432", "--live")

    assert result.exit_code == 0
    assert (
        result.stdout.splitlines()[-1]
        == "Live: not tried. no agent runs on this server, or its data plane cannot follow a probe"
    )


@pytest.mark.parametrize("form", ["json", "yaml", "table", "name", "wide"])
def test_each_form_is_printed(net: Weft, form: str) -> None:
    assert net("explain", "web1", "web2", "tcp/80", "-o", form).exit_code == 0


@pytest.mark.parametrize(
    ("words", "exit_code", "says"),
    [
        (("web1", "nobody", "tcp/80"), 4, "PORT_NOT_FOUND"),
        (("10.20.0.99", "web1", "tcp/80"), 4, "PORT_NOT_FOUND"),
        (("web1", "web2", "sctp/80"), 2, "not a service"),
        (("web1", "web2", "tcp/0"), 2, "not a port from 1 to 65535"),
        (("internet", "192.0.2.9", "tcp/80"), 2, "neither end is of project"),
        (("web1", "fd00::1", "tcp/80"), 2, "IPV6_NOT_SUPPORTED"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    net: Weft, words: tuple[str, ...], exit_code: int, says: str
) -> None:
    result = net("explain", *words)

    assert says in result.stderr
    assert result.exit_code == exit_code


def test_anothers_port_is_not_found(net: Weft) -> None:
    mine = net.project
    net.project = f"{mine}b"
    net.ok("vpc", "create")
    net.ok("port", "create", "theirs")
    foreign = json.loads(net.ok("port", "show", "theirs", "-o", "json"))["id"]
    net.project = mine

    def answer(port: str) -> str:
        result = net("explain", "web1", port, "tcp/80")
        assert result.exit_code == 4
        return result.stderr.replace(port, "PORT")

    assert answer(foreign) == answer("00000000-0000-4000-8000-000000000000")


def test_the_far_side_of_an_external_address_is_not_told(net: Weft) -> None:
    net.ok("snat", "create")
    mine = net.project
    net.project = f"{mine}b"
    net.ok("vpc", "create")
    net.ok("sg", "create", "secret", "--ingress", "tcp 80 from any")
    net.ok("port", "create", "hidden", "--group", "secret", "--vm", "v")
    made = json.loads(net.ok("dnat", "create", "--external", "80", "--to", "hidden", "-o", "json"))
    net.project = mine

    open_one = net("explain", "web1", made["external_ip"], "tcp/80")
    closed_one = net("explain", "web1", made["external_ip"], "tcp/81")

    assert (open_one.exit_code, closed_one.exit_code) == (0, 1)
    assert "REFUSED_OUTSIDE" in closed_one.stdout
    for word in ("secret", "hidden", f"{mine}b"):
        assert word not in open_one.output + closed_one.output
