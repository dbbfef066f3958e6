"""Every command against a real server: what it prints in each form, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_server import CREATE, DELETE, PROGRAMMED, REPLACE, STUCK, Weft

from weftwork.cli.problems import ExitCode
from weftwork.seams.insight import Leak, TargetState, TargetSummary

SRC = Path(__file__).parents[3] / "src"


@pytest.fixture
def net(weft: Weft) -> Weft:
    """A project with a VPC, 10.20.0.0/16."""
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    return weft


def data(weft: Weft, *args: str) -> Any:
    return json.loads(weft.ok(*args, "-o", "json"))


# --- Each noun --------------------------------------------------------------------------------------------------------


def test_a_vpc_is_created_shown_listed_and_deleted(weft: Weft) -> None:
    created = data(weft, "vpc", "create", "--cidr", "10.20.0.0/16")
    assert (created["apiVersion"], created["kind"], created["cidr"]) == ("weftwork/v1", "Vpc", "10.20.0.0/16")
    assert created["name"] == weft.project.split("/")[1]
    assert weft.rows("vpc", "list")[0][:3] == [weft.project, created["name"], "10.20.0.0/16"]

    for name in ("", created["name"], weft.project):
        assert data(weft, "vpc", "show", *([name] if name else []))["id"] == weft.project

    assert weft.ok("vpc", "delete", weft.project, "--cascade", "--yes") == f"vpc {weft.project} deleted\n"
    assert weft("vpc", "show").exit_code == 4


def test_vpc_list_shows_all_projects_unless_one_is_named(net: Weft) -> None:
    other = net.project
    net.project = f"{other}b"
    net.ok("vpc", "create")

    assert [row[0] for row in net.rows("vpc", "list")] == [net.project]
    result = net("vpc", "list", "-o", "name", WEFT_PROJECT=None)
    assert {other, net.project} <= set(result.stdout.split())


def test_a_vpc_by_another_name_is_not_found(net: Weft) -> None:
    result = net("vpc", "delete", "other")

    assert result.exit_code == 4
    assert result.stderr.startswith("error: VPC_NOT_FOUND: ")


def test_a_subnet_is_created_shown_listed_and_deleted(net: Weft) -> None:
    options = ("--cidr", "10.20.7.0/24", "--dns", "10.20.7.53", "--domain", "shop.example", "--lease-time", "600")
    created = data(net, "subnet", "create", "back", *options)
    assert created["dhcp_enabled"] is True
    assert (created["dns_servers"], created["lease_time_s"]) == (["10.20.7.53"], 600)
    assert data(net, "subnet", "create", "quiet", "--no-dhcp")["dhcp_enabled"] is False

    rows = {row[0]: row for row in net.rows("subnet", "list")}
    assert rows["back"][:4] == ["back", "10.20.7.0/24", "10.20.7.1", "yes"]
    assert set(rows) == {"back", "quiet", "default"}
    assert "shop.example" in net.ok("subnet", "show", "back")
    assert "shop.example" in net.ok("subnet", "list", "-o", "wide")
    assert "shop.example" not in net.ok("subnet", "list")

    assert net.ok("subnet", "delete", "back") == "subnet back deleted\n"
    assert net("subnet", "show", "back").exit_code == 4


def test_a_port_is_created_shown_listed_and_deleted(net: Weft) -> None:
    net.ok("sg", "create", "web")
    created = data(net, "port", "create", "web1", "--address", "10.20.0.10", "--group", "web", "--group", "default")
    assert (created["name"], created["ip_address"], created["vm_id"]) == ("web1", "10.20.0.10", None)
    nameless = data(net, "port", "create", "--mac", "02:57:00:00:00:77")

    rows = {row[0]: row for row in net.rows("port", "list")}
    assert rows["web1"][:6] == ["web1", "10.20.0.10", created["mac_address"], "default", "default,web", "-"]
    assert rows[nameless["id"]][2] == "02:57:00:00:00:77"
    assert data(net, "port", "show", created["id"]) == data(net, "port", "show", "web1")
    assert sorted(net.ok("port", "list", "--subnet", "default", "-o", "name").split()) == sorted(rows)

    assert net.ok("port", "delete", "web1") == "port web1 deleted\n"
    assert net.ok("port", "delete", nameless["id"], "-o", "name") == f"{nameless['id']}\n"
    assert net.rows("port", "list") == []


def test_a_port_is_attached_and_detached_plugged_and_unplugged(net: Weft) -> None:
    net.ok("port", "create", "web1")

    assert data(net, "port", "attach", "web1", "--vm", "vm-1")["vm_id"] == "vm-1"
    assert "vm vm-1" in net.ok("port", "list")
    assert data(net, "port", "detach", "web1")["attachment"] is None
    plugged = data(net, "port", "plug", "web1", "--netns", "web1", "--interface", "net0")
    assert plugged["attachment"] == {"kind": "netns", "netns": "web1", "interface": "net0", "host": ""}
    assert "netns web1 net0" in net.ok("port", "list")
    assert data(net, "port", "unplug", "web1")["attachment"] is None


def test_the_groups_of_a_port_are_replaced(net: Weft) -> None:
    net.ok("sg", "create", "web")
    net.ok("port", "create", "web1")

    def groups(*args: str) -> list[str]:
        return [group.split("/")[-1] for group in data(net, "port", "set-groups", "web1", *args)["security_group_ids"]]

    assert groups("web", "default") == ["default", "web"]
    assert groups("--none") == []
    assert net("port", "set-groups", "web1", "unknown").exit_code == 4


def test_a_security_group_is_created_shown_listed_updated_and_deleted(net: Weft) -> None:
    rules = ("--ingress", "tcp 80,443 from any", "--ingress", "all from web", "--egress", "all to any")
    net.ok("security-group", "create", "web", "--description", "the front", *rules)
    shown = net.ok("sg", "show", "web")
    for text in ("tcp 80 from 0.0.0.0/0", "tcp 443 from 0.0.0.0/0", "all from group web", "all to 0.0.0.0/0"):
        assert text in shown
    rows = {row[0]: row for row in net.rows("sg", "list")}
    assert rows["web"][1:3] == ["3", "1"]

    net.ok("sg", "update", "web", "--description", "the back")
    net.ok("sg", "update", "web", "--ingress", "udp 53")
    updated = data(net, "sg", "update", "web", "--no-egress")
    assert updated["description"] == "the back"
    assert updated["egress_rules"] == []
    assert updated["ingress_rules"] == [
        {"protocol": "udp", "port_range": {"min": 53, "max": 53}, "source_type": "cidr", "source": "0.0.0.0/0"}
    ]
    assert net("sg", "update", "web", "--no-ingress", "--if-revision", "1").exit_code == 3

    assert net.ok("sg", "delete", "web") == "security-group web deleted\n"


def test_rules_are_added_listed_and_removed(net: Weft) -> None:
    net.ok("sg", "create", "web")
    net.ok("sg", "rule", "add", "web", "--protocol", "tcp", "--ports", "80-90", "--from", "10.0.0.0/8")
    net.ok("sg", "rule", "add", "web", "--egress", "--to", "default")

    assert [line.split("  ")[0] for line in net.ok("sg", "rule", "list", "web").splitlines()[1:]] == [
        "tcp 80-90 from 10.0.0.0/8",
        "all to group default",
    ]
    listed = data(net, "sg", "rule", "list", "web")
    assert (listed["kind"], [rule["direction"] for rule in listed["items"]]) == (
        "SecurityRuleList",
        ["ingress", "egress"],
    )

    net.ok("sg", "rule", "remove", "web", "--protocol", "tcp", "--ports", "80-90", "--from", "10.0.0.0/8")
    assert net.ok("sg", "rule", "list", "web", "-o", "name") == "all to group default\n"


def test_snat_is_created_listed_and_deleted(net: Weft) -> None:
    created = data(net, "snat", "create", "--disabled")
    assert created["external_ip"].startswith("203.0.113.")
    assert created["enabled"] is False
    assert net.rows("snat", "list")[0][:2] == [created["external_ip"], "no"]

    assert net("snat", "delete", "--external", "198.51.100.1").exit_code == 4
    assert net.ok("snat", "delete") == f"snat {created['external_ip']} deleted\n"
    assert net("snat", "delete").exit_code == 4


def test_dnat_is_created_listed_and_deleted_by_a_ports_name_or_an_address(net: Weft) -> None:
    net.ok("port", "create", "web1", "--address", "10.20.0.10")
    first = data(net, "dnat", "create", "--external", "80/tcp", "--to", "web1:8080")
    assert (first["internal_ip"], first["internal_port"]) == ("10.20.0.10", 8080)
    second = f"{first['external_ip']}:53/udp"
    net.ok("dnat", "create", "--external", second, "--to", "10.20.0.10")

    rows = {row[0]: row[1] for row in net.rows("dnat", "list")}
    assert rows == {f"{first['external_ip']}:80/tcp": "10.20.0.10:8080", second: "10.20.0.10:53"}
    assert net.ok("dnat", "delete", second) == f"dnat {second} deleted\n"
    assert net("dnat", "delete", second).exit_code == 4
    assert net("dnat", "create", "--external", "81", "--to", "nobody").exit_code == 4


# --- Output -----------------------------------------------------------------------------------------------------------

_LISTS = ["vpc", "subnet", "port", "security-group", "snat", "dnat"]


@pytest.mark.parametrize("noun", _LISTS)
def test_each_list_is_the_same_in_each_form(net: Weft, noun: str) -> None:
    net.ok("port", "create", "web1")
    net.ok("snat", "create")
    net.ok("dnat", "create", "--external", "80", "--to", "web1")

    listed = data(net, noun, "list")
    names = net.ok(noun, "list", "-o", "name").split()
    assert listed["kind"].endswith("List")
    assert yaml.safe_load(net.ok(noun, "list", "-o", "yaml")) == listed
    assert (
        len(names) == len(listed["items"]) == len(net.rows(noun, "list")) == len(net.rows(noun, "list", "-o", "wide"))
    )
    for item in listed["items"]:
        assert item["apiVersion"] == "weftwork/v1"
        assert isinstance(item["revision"], int)
        assert {one["type"] for one in item["conditions"]} == {"Accepted", "Programmed"}
    if noun not in ("snat", "dnat"):
        for name, item in zip(names, listed["items"], strict=True):
            assert data(net, noun, "show", name) == item


@pytest.mark.parametrize("noun", ["vpc", "subnet", "port", "snat", "dnat"])
def test_an_empty_list_is_an_empty_stdout_and_empty_items(weft: Weft, noun: str) -> None:
    if noun != "vpc":
        weft.ok("vpc", "create")
        weft.ok("subnet", "delete", "default")
    result = weft(noun, "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("no ")
    assert data(weft, noun, "list")["items"] == []


def test_notes_go_to_stderr_and_data_to_stdout(net: Weft) -> None:
    result = net("port", "create", "web1", "-o", "json")

    assert json.loads(result.stdout)["name"] == "web1"
    assert result.stderr == "note: no agent is connected to the server: port web1 is stored, not programmed\n"


def test_what_a_tenant_wrote_cannot_command_the_terminal(net: Weft) -> None:
    created = net("sg", "create", "web", "--description", "a\x1b[2Jb")
    if created.exit_code == 0:
        assert "\x1b" not in net.ok("sg", "list") + net.ok("sg", "show", "web")
    else:
        assert created.exit_code == 2
        assert "\x1b" not in created.output


# --- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "exit_code", "reason"),
    [
        (("port", "show", "nobody"), 4, "PORT_NOT_FOUND"),
        (("subnet", "show", "nowhere"), 4, "SUBNET_NOT_FOUND"),
        (("sg", "delete", "nobody"), 4, "SECURITY_GROUP_NOT_FOUND"),
        (("subnet", "create", "x", "--cidr", "10.20.0.0/33"), 2, "INVALID_CIDR"),
        (("subnet", "create", "X y"), 2, "INVALID_NAME"),
        (("port", "create", "--mac", "banana"), 2, "INVALID_MAC"),
        (("subnet", "create", "x", "--cidr", "192.168.0.0/24"), 2, "SUBNET_OUTSIDE_VPC"),
        (("subnet", "create", "x", "--cidr", "10.20.0.0/25"), 3, "CIDR_OVERLAP"),
    ],
)
def test_a_refusal_ends_with_its_code_its_reason_and_the_next_step(
    net: Weft, args: tuple[str, ...], exit_code: int, reason: str
) -> None:
    result = net(*args)

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith(f"error: {reason}: ")
    assert "\nnext: " in result.stderr


def test_a_delete_lists_what_stands_in_the_way_and_a_cascade_takes_it_along(net: Weft) -> None:
    net.ok("port", "create", "web1")
    refused = net("subnet", "delete", "default")

    assert refused.exit_code == 3
    assert refused.stderr.startswith("error: IN_USE: subnet default is in use by port web1\n")
    assert refused.stderr.count("web1") == 1

    asked = net("subnet", "delete", "default", "--cascade")
    assert asked.exit_code == 2
    assert "- port" in asked.stderr
    assert asked.stderr.endswith("add --yes\n")
    assert net("port", "show", "web1").exit_code == 0

    net.ok("subnet", "delete", "default", "--cascade", "--yes")
    assert net("port", "show", "web1").exit_code == 4


def test_many_that_stand_in_the_way_are_listed_one_on_a_line(net: Weft) -> None:
    for number in range(4):
        net.ok("port", "create", f"web{number}")
    refused = net("subnet", "delete", "default")

    assert refused.stderr.startswith("error: IN_USE: subnet default is in use by 4 objects\n")
    assert refused.stderr.count("\n  used by: port web") == 4


# --- Plans ------------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_objects_and_steps_and_changes_nothing(net: Weft) -> None:
    net.hosts.steps = (CREATE, REPLACE, DELETE)
    text = net.ok("port", "create", "web1", "--dry-run")

    assert text.startswith(f"objects:\n  + port {net.project}/")
    assert text.endswith(
        "steps:\n  node1 weft-100\n    + Link(tap1)\n    - Chain(old)\n    + Chain(new)\n"
        "  node1 weft-101\n    - Link(tap2)\nreach: unchanged\n"
    )
    assert net.rows("port", "list") == []


def test_a_dry_run_as_data_has_the_fields_of_the_api(net: Weft) -> None:
    net.hosts.steps = (REPLACE,)
    plan = data(net, "subnet", "create", "back", "--dry-run")

    assert plan["kind"] == "Plan"
    assert f"+ subnet {net.project}/back" in plan["objects"]
    assert plan["steps"][0]["action"] == "replace"
    assert plan["steps"][0]["old_text"] == "Chain(old)"


def test_a_dry_run_shows_who_would_reach_whom_and_who_no_longer(net: Weft) -> None:
    for name in ("web1", "web2"):
        net.ok("port", "create", name, "--vm", name)

    lost = net.ok("sg", "rule", "remove", "default", "--egress", "--to", "any", "--dry-run")
    assert lost.endswith(
        f"reach:\n  {net.project}\n    - 2 pairs of ports\n      web1 -> web2 all\n      web2 -> web1 all\n"
    )
    gained = data(net, "snat", "create", "--dry-run")["reach"]
    assert [(one["project_id"], one["gained"]["outwards"], one["lost"]["outwards"]) for one in gained] == [
        (net.project.removeprefix("acme/"), 2, 0)
    ]
    assert {"source": "web1", "destination": "internet", "packets": "all"} in gained[0]["gained"]["examples"]


def test_the_exit_code_of_a_dry_run_says_whether_anything_would_change(net: Weft) -> None:
    rule = ("--protocol", "tcp", "--ports", "80", "--from", "any", "--dry-run")

    assert net("sg", "rule", "add", "default", *rule).exit_code == 0
    assert net("sg", "rule", "add", "default", *rule, "--exit-code").exit_code == 10
    net.ok("sg", "rule", "add", "default", *rule[:-1])
    nothing = net("sg", "rule", "add", "default", *rule, "--exit-code")
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing would change\n")


@pytest.mark.parametrize(
    "args",
    [
        ("vpc", "delete", "{project}", "--cascade"),
        ("subnet", "delete", "default", "--cascade"),
        ("port", "delete", "web1", "--cascade"),
        ("port", "attach", "web1", "--vm", "v"),
        ("port", "plug", "web1", "--netns", "n"),
        ("port", "set-groups", "web1", "--none"),
        ("sg", "create", "db"),
        ("sg", "update", "default", "--no-egress"),
        ("sg", "delete", "web", "--cascade"),
        ("snat", "create"),
        ("dnat", "create", "--external", "81", "--to", "web1"),
        ("dnat", "delete", "{dnat}"),
    ],
)
def test_each_mutation_can_be_planned_without_being_carried_out(net: Weft, args: tuple[str, ...]) -> None:
    net.ok("sg", "create", "web")
    net.ok("port", "create", "web1", "--group", "web")
    net.ok("dnat", "create", "--external", "80", "--to", "web1")
    dnat = net.ok("dnat", "list", "-o", "name").strip()
    before = [net.ok(noun, "list", "-o", "json") for noun in _LISTS]

    filled = [arg.format(project=net.project, dnat=dnat) for arg in args]
    assert net(*filled, "--dry-run", "--exit-code").exit_code == 10
    assert [net.ok(noun, "list", "-o", "json") for noun in _LISTS] == before


def test_a_plan_is_refused_as_the_mutation_would_be(net: Weft) -> None:
    result = net("port", "create", "--subnet", "nowhere", "--dry-run")

    assert (result.exit_code, result.stdout) == (4, "")


# --- Waiting ----------------------------------------------------------------------------------------------------------


def test_a_mutation_returns_when_the_hosts_have_made_it_so(net: Weft) -> None:
    net.hosts.programmed = PROGRAMMED
    result = net("port", "create", "web1")

    assert result.exit_code == 0
    assert result.stderr == ""
    assert "Programmed=True" in result.stdout
    assert net.ok("port", "delete", "web1") == "port web1 deleted\n"


def test_when_the_time_is_over_the_reason_is_told_and_the_thing_is_there(net: Weft) -> None:
    net.hosts.programmed = STUCK
    result = net("port", "create", "web1", "--timeout", "0.2")

    assert result.exit_code == 6
    assert "web1" in result.stdout
    assert result.stderr.splitlines()[-2:] == [
        "error: STILL_RUNNING: port web1 is stored, but not programmed after 0.2 s: "
        "NETNS_NOT_FOUND: there is no namespace web1",
        f"next: weft -P {net.project} wait port web1",
    ]
    assert net("port", "create", "web2", "--no-wait").exit_code == 0


def test_wait_waits_for_a_condition(net: Weft) -> None:
    net.ok("port", "create", "web1")
    net.ok("wait", "port", "web1", "--for", "Accepted")
    net.hosts.programmed = STUCK
    late = net("wait", "port", "web1", "--timeout", "0.1")
    assert (late.exit_code, "NETNS_NOT_FOUND" in late.stderr) == (6, True)
    net.hosts.programmed = PROGRAMMED

    for args in (("port", "web1"), ("subnet", "default"), ("sg", "default"), ("vpc",)):
        net.ok("wait", *args, "--timeout", "5s")
    assert net("wait", "port", "nobody").exit_code == 4
    assert net("wait", "port").exit_code == 2


def test_wait_for_deleted_is_over_when_the_thing_is_not_there(net: Weft) -> None:
    net.ok("port", "create", "web1")

    assert net("wait", "port", "web1", "--for", "Deleted", "--timeout", "0.1").exit_code == 6
    net.ok("port", "delete", "web1")
    assert net("wait", "port", "web1", "--for", "Deleted").exit_code == 0


def weft_process(
    net: Weft, *args: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE, **env: str
) -> subprocess.Popen[str]:
    """`weft` as a process of its own. It hears Ctrl-C even when we run in the background of a shell and do not."""
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    told = {**clean, "PYTHONPATH": str(SRC), "WEFT_SERVER": net.server, "WEFT_PROJECT": net.project, **env}
    command = ["env", "--default-signal=INT", sys.executable, "-m", "weftwork.apps.weft", *args]
    return subprocess.Popen(command, env=told, text=True, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)


def test_watch_prints_what_is_and_what_changes_until_ctrl_c(net: Weft) -> None:
    net.ok("port", "create", "web1")
    with weft_process(net, "watch", "port", "web1", "-o", "json") as watching:
        assert watching.stdout and watching.stderr
        now = json.loads(watching.stdout.readline())
        net.ok("port", "delete", "web1")
        then = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)

        assert watching.wait(10) == 130
        assert "Traceback" not in watching.stderr.read()
    assert (now["resource"]["kind"], now["deleted"]) == ("port", False)
    assert then["deleted"] is True


def test_watch_as_text_is_one_line_for_each_event(net: Weft) -> None:
    with weft_process(net, "watch", "subnet") as watching:
        assert watching.stdout
        line = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)

        assert watching.wait(10) == 130
    assert "subnet default  Accepted=True  Programmed=Unknown (NO_AGENT" in line


# --- Targets ----------------------------------------------------------------------------------------------------------


def test_targets_are_listed(weft: Weft) -> None:
    assert weft("target", "list").stderr == "no agent is connected to the server\n"
    weft.hosts.summaries = (TargetSummary("node1", "linux", 7, 9, 120, 1, "link: busy"),)

    assert weft.rows("target", "list") == [["node1/linux", "7", "9", "120", "1"]]
    assert "link: busy" in weft.ok("target", "list", "-o", "wide")
    assert data(weft, "target", "list")["items"][0]["desired_generation"] == 9
    assert weft.ok("target", "list", "-o", "name") == "node1/linux\n"


def test_a_target_shows_desired_observed_and_the_plan_between(weft: Weft) -> None:
    weft.hosts.state = TargetState(("Link(a)", "Link(b)"), ("Link(a)", "Link(c)"), (CREATE,))

    assert weft.ok("target", "show", "node1") == (
        "desired: 2 resources, observed: 2 resources\n  Link(a)\n+ Link(b)\n- Link(c)\n"
        "plan: 1 step\n  node1 weft-100\n    + Link(tap1)\n"
    )
    assert weft("target", "show", "--exit-code").exit_code == 10
    assert data(weft, "target", "show")["desired"] == ["Link(a)", "Link(b)"]
    weft.hosts.state = TargetState(("Link(a)",), ("Link(a)",), ())
    assert weft("target", "show", "--exit-code").exit_code == 0
    assert weft.ok("target", "show").endswith("plan: nothing to do\n")


def test_leaks_are_listed(weft: Weft) -> None:
    none = weft("leaks", "--exit-code")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no leaks\n")
    weft.hosts.found_leaks = (Leak("node1/linux", "link", "tap1", "no owner in the intent"),)

    assert weft("leaks").exit_code == 0
    assert weft("leaks", "--exit-code").exit_code == 10
    assert weft.rows("leaks") == [["tap1", "link", "node1/linux", "no", "owner", "in", "the", "intent"]]
    assert data(weft, "leaks")["items"][0]["where"] == "node1/linux"


# --- The shell --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("weft port show ", ["web1"]),
        ("weft port show w", ["web1"]),
        ("weft port show x", []),
        ("weft sg rule add ", ["default"]),
        ("weft subnet show ", ["default"]),
        ("weft port create --subnet ", ["default"]),
        ("weft port create --group ", ["default"]),
        ("weft port set-groups web1 ", ["default"]),
        ("weft dnat create --to ", ["web1"]),
        ("weft wait port ", ["web1"]),
        ("weft wait sg ", ["default"]),
    ],
)
def test_completion_asks_the_server_for_names(net: Weft, words: str, expected: list[str]) -> None:
    net.ok("port", "create", "web1")
    parts = words.split(" ")
    index = str(len(parts) - 1)
    result = net(_WEFT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=index)

    assert result.output.split() == [f"plain,{name}" for name in expected]


def test_completion_works_in_the_project_on_the_command_line(net: Weft) -> None:
    net.ok("port", "create", "web1")
    words = f"weft -P {net.project} port show "
    result = net(_WEFT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="5", WEFT_PROJECT=None)

    assert result.output.split() == ["plain,web1"]


def test_a_reader_that_has_seen_enough_gets_no_traceback(net: Weft) -> None:
    with weft_process(net, "subnet", "list") as listing:
        assert listing.stdout and listing.stderr
        listing.stdout.close()

        assert listing.wait(10) == 1
        assert listing.stderr.read() == ""


@pytest.mark.parametrize(("answer", "exit_code", "left"), [("n\n", 1, ["web1"]), ("y\n", 0, [])])
def test_at_a_terminal_a_cascade_is_asked_about(net: Weft, answer: str, exit_code: int, left: list[str]) -> None:
    net.ok("port", "create", "web1")
    keyboard, terminal = os.openpty()
    with weft_process(net, "subnet", "delete", "default", "--cascade", stdin=terminal) as deleting:
        os.write(keyboard, answer.encode())
        assert deleting.wait(10) == exit_code
        assert deleting.stderr and "Delete subnet default and all of this?" in deleting.stderr.read()

    os.close(keyboard)
    os.close(terminal)
    assert net.ok("port", "list", "-o", "name").split() == left


@pytest.mark.parametrize(("color", "bold"), [((), True), (("--no-color",), False), (("NO_COLOR",), False)])
def test_only_a_terminal_gets_colour_and_only_if_it_may(net: Weft, color: tuple[str, ...], bold: bool) -> None:
    screen, terminal = os.openpty()
    env = {"NO_COLOR": "1"} if "NO_COLOR" in color else {}
    flags = [] if env else list(color)
    with weft_process(net, "subnet", "list", *flags, stdout=terminal, **env) as listing:
        assert listing.wait(10) == 0
    assert (b"\x1b[1m" in os.read(screen, 4096)) is bold
    os.close(screen)
    os.close(terminal)


@pytest.mark.parametrize("words", [["--help"], ["port", "create", "--help"], ["completion", "bash"], ["version"]])
def test_what_needs_no_server_does_not_wait_for_what_speaks_to_one_to_load(words: list[str]) -> None:
    program = (
        "import sys; from weftwork.apps.weft import weft; weft().main(sys.argv[1:], 'weft', standalone_mode=False)"
    )
    heavy = "{'asyncio', 'ssl', 'grpc', 'google.protobuf', 'msgspec', 'yaml', 'logging', 'weftwork.client.client'}"
    look = f"; assert not {heavy} & set(sys.modules), sorted({heavy} & set(sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    subprocess.run([sys.executable, "-c", program + look, *words], env=env, check=True, stdout=subprocess.DEVNULL)


def test_a_server_that_is_no_address_is_a_usage_error(weft: Weft) -> None:
    result = weft("--server", "banana", "port", "list")

    assert result.exit_code == 2
    assert "'banana' is neither unix:PATH nor HOST:PORT" in result.stderr


def test_a_usage_error_names_the_help_of_its_own_command(net: Weft) -> None:
    result = net("sg", "rule", "add", "default")

    assert result.exit_code == 2
    assert result.stderr.endswith("\nnext: weft sg rule add --help\n")
    assert "\\x0a" not in net("wait").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_that_is_not_for_this_user_is_denied_and_not_missing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    (folder / "api.sock").touch()
    program = (
        "import os, sys; from weftwork.cli.session import _unreachable; os.setgroups([]); os.setuid(65534);"
        "print(_unreachable(sys.argv[1]).code)"
    )
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-c", program, str(folder / "api.sock")]
    assert subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout == "SERVER_NOT_ALLOWED\n"


# --- Reach tests ------------------------------------------------------------------------------------------------------

TESTS = """
items:
- name: b-hears-a
  must: reach
  source: port:a
  destination: port:b
  service: tcp/80
- {name: nobody-hears-ssh, must: not-reach, source: internet, destination: 'subnet:default', service: tcp/22}
"""


def test_a_reach_test_is_made_shown_run_and_deleted(net: Weft) -> None:
    for name in ("a", "b"):
        net.ok("port", "create", name, "--vm", name)
    net.ok("reach-test", "create", "t", "--from", "a", "--to", "port:b", "--service", "tcp/80-90")

    assert net.rows("reach-test", "list") == [["t", "port:a", "reach", "port:b", "tcp/80-90"]]
    assert data(net, "reach-test", "show", "t")["must"] == "reach"
    assert net.rows("reach-test", "run") == [["t", "yes", *["port:a", "must", "reach", "port:b", "tcp/80-90", "-"]]]

    result = net("sg", "update", "default", "--no-ingress")
    assert result.exit_code == 3
    assert result.stderr.startswith(
        f"error: REACH_TEST_FAILED: reach test t of {net.project} would fail: tcp 80 from port a"
    )
    assert "--override-reach-tests" in result.stderr
    assert net("sg", "update", "default", "--no-ingress", "--dry-run").exit_code == 3
    assert net("port", "delete", "a").exit_code == 3

    net.ok("sg", "update", "default", "--no-ingress", "--override-reach-tests")
    failing = net("reach-test", "run", "t")
    assert failing.exit_code == 10
    assert "does not pass" in failing.stdout
    net.ok("reach-test", "delete", "t")
    assert net.rows("reach-test", "list") == []


def test_tests_in_a_file_are_applied_exported_and_applied_again(net: Weft, tmp_path: Path) -> None:
    for name in ("a", "b"):
        net.ok("port", "create", name, "--vm", name)
    file = tmp_path / "tests.yaml"
    file.write_text(TESTS)
    assert net("reach-test", "apply", "-f", str(file), "--dry-run").stdout.count("+ reach-test") == 2
    assert net.rows("reach-test", "list") == []
    assert net.ok("reach-test", "apply", "-f", str(file)) == (
        "reach-test b-hears-a created\nreach-test nobody-hears-ssh created\n"
    )
    file.write_text(net.ok("reach-test", "export"))
    assert "unchanged" in net.ok("reach-test", "apply", "-f", str(file))
    file.write_text(net.ok("reach-test", "list", "-o", "json"))
    assert "created" not in net.ok("reach-test", "apply", "-f", str(file))
    file.write_text("items: []")
    assert "b-hears-a deleted" in net.ok("reach-test", "apply", "-f", str(file), "--prune")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("items: {", "while parsing"),
        ("just words", "holds no reach tests"),
        ("items: [1]", "item 1 is not a reach test"),
        ("items: [{name: t}]", "no field must, source, destination, service"),
        (TESTS.replace("{name", "{colour: red, name"), "unknown field colour"),
        (TESTS.replace("not-reach", "love"), "not 'love'"),
    ],
)
def test_a_file_that_holds_no_tests_is_told_what_is_wrong(net: Weft, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(text)
    result = net("reach-test", "apply", "-f", str(file))

    assert result.exit_code == 2
    assert result.stderr.startswith("error: INVALID_FILE: ")
    assert says in result.stderr


def test_what_a_project_was_is_listed_shown_compared_and_brought_back(net: Weft) -> None:
    net.ok("port", "create", "later")
    revision = net.rows("history", "list")[0][0]
    net.ok("port", "delete", "later")

    calls = [one["call"].rpartition("/")[2] for one in data(net, "history", "list", "--limit", "2")["items"]]
    assert calls == ["DeletePort", "CreatePort"]
    assert f"+ port {net.project}/later" in net.ok("history", "show", revision)
    assert f"+ port {net.project}/later" not in net.ok("history", "diff", revision)
    assert f"- port {net.project}/later" in net.ok("history", "diff", revision)
    assert f"+ port {net.project}" in net.ok("rollback", "--to", revision, "--dry-run")
    assert net("port", "show", "later").exit_code == ExitCode.NOT_FOUND

    told = net.ok("rollback", "--to", revision)
    assert f"as it was at revision {revision}" in told and f"+ port {net.project}/later" in told
    assert "nothing is different" in net.ok("history", "diff", revision)
    assert net.ok("port", "show", "later")


def test_a_revision_that_is_not_known_is_refused_with_the_newest(net: Weft) -> None:
    for words in (("history", "diff", "99999"), ("rollback", "--to", "99999"), ("history", "show", "99999")):
        result = net(*words)
        assert result.exit_code == ExitCode.NOT_FOUND, result.stderr
        assert "REVISION_NOT_KNOWN" in result.stderr
