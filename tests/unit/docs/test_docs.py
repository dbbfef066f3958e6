"""The documentation's promises about itself: links lead somewhere, lists are whole, examples are run or say why not."""

import re
import uuid
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN_MAX = 10
"""Blocks that are not typed by a test: systemd, a real network card, make itself, grpcurl."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_of_ours(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:[\w.]+/)+[\w.]*\w)`", page.read_text())
    bases = (ROOT, ROOT / "src/weftwork", ROOT / "src/weftwork/drivers", ROOT / "tests", page.parent)
    of_ours = {path.name for base in bases[:2] for path in base.iterdir()}
    gone = [one for one in named if one.split("/")[0] in of_ours and not any((base / one).exists() for base in bases)]

    assert not gone


def test_every_page_is_in_the_index() -> None:
    """A folder may have an index of its own, which the index above lists."""
    pages = [page for page in PAGES if (ROOT / "docs") in page.parents and page != ROOT / "docs/README.md"]
    missing = [name_of(page) for page in pages if not is_listed(page)]

    assert not missing


def is_listed(page: Path) -> bool:
    folders = [folder for folder in page.parents if ROOT / "docs" in (folder, *folder.parents)]
    index = next(one for folder in folders if (one := folder / "README.md").exists() and one != page)
    return f"({page.relative_to(index.parent)})" in index.read_text()


def test_examples_are_run_or_say_that_they_are_not() -> None:
    fences = [
        (name_of(page), fence)
        for page in PAGES
        for fence in re.findall(r"^```(\S+(?: \S+)*)\n.*?^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    not_run = [where for where, fence in fences if fence.endswith("no-test")]
    shells = ("sh", "bash", "shell", "console")
    untold = [where for where, fence in fences if fence in shells and not is_run(where, fence)]

    assert len(not_run) <= NOT_RUN_MAX
    assert not untold


def is_run(where: str, fence: str) -> bool:
    """By tests/system/tutorial."""
    return fence == "console" and where.startswith("docs/")


def test_every_reason_of_a_failure_is_told() -> None:
    page = (ROOT / "docs/reference/conditions.md").read_text()
    sources = [path.read_text() for path in (ROOT / "src/weftwork/drivers").rglob("*.py")]
    reasons = {reason for text in sources for reason in re.findall(r'Failure\(\s*"([A-Z_]+)"', text)}
    board = (ROOT / "src/weftwork/controller/conditions.py").read_text()
    reasons |= set(re.findall(r'Status\.\w+, "([A-Z_]+)"', board))

    assert len(reasons) > 10
    assert not [reason for reason in reasons if f"`{reason}`" not in page]


def test_the_page_of_keys_is_what_the_code_makes() -> None:
    owner, port, address = ProjectKey("acme", "shop"), str(uuid.UUID(int=1)), ip_address("10.0.0.5")
    dnat, peer = "203.0.113.1:80:tcp", ProjectKey("acme", "data")
    made = [
        str(keys.ThingKey("vpc", owner)),
        str(keys.ThingKey("subnet", owner, "back")),
        str(keys.ThingKey("port", owner, port)),
        str(keys.ThingKey("security-group", owner, "web")),
        str(keys.ThingKey("snat", owner)),
        str(keys.ThingKey("dnat", owner, dnat)),
        str(keys.ThingKey("peering", owner, str(peer))),
        str(keys.ThingKey("network-policy", owner, "apart")),
        str(keys.ThingKey("reach-test", owner, "t")),
        str(keys.ThingKey("subnet-share", owner, f"back/{peer}")),
        str(keys.ThingKey("vm", owner, "web")),
        str(keys.ThingKey("ssh-key", owner, "ann")),
        keys.allocated(owner, "back", address),
        keys.mac_claim(owner, "02:57:00:00:00:01"),
        keys.port_name(owner, "web1"),
        keys.peering_name(owner, "data"),
        keys.plug("web1", "eth0"),
        keys.host_plug("h1", "web1", "eth0"),
        keys.cidr_used(ip_network("10.0.0.0/16")),
        keys.vni_claim(1001),
        keys.external_claim(address),
        keys.member(owner, "web", port),
        keys.group_reference(owner, "web", "db"),
        keys.peer_group_reference(owner, peer, "db"),
        keys.policy_reference(owner, keys.ThingKey("subnet", owner, "back"), "apart"),
        keys.peering_offer(owner, peer),
        keys.lodger(owner, "back", peer, port),
        keys.dnat_target(owner, address, dnat),
        keys.external_use(address, "snat"),
        keys.reach_guard(owner),
        keys.host("h1"),
        keys.quota(owner),
        keys.mac_counter(owner),
        keys.cidr_allocation(owner),
    ]
    page = (ROOT / "docs/reference/storage-keys.md").read_text()
    patterns = re.findall(r"^\| `(/networks/[^`]+)`", page, re.MULTILINE)

    assert len(patterns) == len(made)
    for key, pattern in zip(made, patterns, strict=True):
        assert re.fullmatch(re.sub(r"\{[\w ]+\}", "[^/]+", pattern), key), f"{key} is not {pattern}"
