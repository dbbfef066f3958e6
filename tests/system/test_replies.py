"""What answers a flow ends with the rule that let the flow open, though its own side says nothing more."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from weftwork.client.rules import policy_rule
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest
from weftwork.testing.inside import open_socket
from weftwork.testing.internet import Internet
from weftwork.testing.patience import wait_s

ANYWHERE = "0.0.0.0/0"
SILENCE_S = 0.3
OUTER = "203.0.113.61"


@dataclass(frozen=True)
class Stream:
    """One datagram from the client opened it; from then on only the server sends."""

    client: socket.socket
    server: socket.socket
    to: tuple[str, int]
    """The client, as the server sees it."""

    def arrives(self, *, timeout_s: float | None = None) -> bool:
        self.client.settimeout(wait_s(timeout_s))
        self.server.sendto(b"more", self.to)
        try:
            return self.client.recv(100) == b"more"
        except TimeoutError:
            return False


Open = Callable[..., Stream]


@pytest.fixture
def stream() -> Iterator[Open]:
    with ExitStack() as stack:

        def begin(client: Guest, server: Guest, address: str, port: int, *, at: str = "") -> Stream:
            near, far = (
                stack.enter_context(open_socket(one.name, socket.AF_INET, socket.SOCK_DGRAM))
                for one in (client, server)
            )
            far.bind((at, port))
            far.settimeout(wait_s())
            near.sendto(b"begin", (address, port))
            opened = Stream(near, far, far.recvfrom(100)[1])
            assert opened.arrives()
            return opened

        yield begin


def boot(tenant: Any) -> tuple[Any, Guest, Guest]:
    """Who asks may only ask, and who answers may only be asked."""
    red = tenant("10.30.0.0/16")
    red.cloud.group(red.project, "asks", egress=[allow("udp", None, ANYWHERE)])
    red.cloud.group(red.project, "answers", ingress=[allow("udp", 53, ANYWHERE)])
    red.cloud.group(red.project, "also", ingress=[allow("udp", 54, ANYWHERE)])
    return red, red.boot("client", groups=("asks",)), red.boot("server", groups=("answers", "also"))


def rule_goes(cloud: Cloud, project: str) -> None:
    cloud.remove_rules(project, "answers", ingress=[allow("udp", 53, ANYWHERE)])


def member_goes(cloud: Cloud, project: str) -> None:
    cloud.set_groups(project, "server", ["also"])


def policy_comes(cloud: Cloud, project: str) -> None:
    cloud.policy(project, "no-dns", "egress", 10, policy_rule("deny", "udp", ANYWHERE, 53))


def member_comes(cloud: Cloud, project: str) -> None:
    """To a group that a policy denies what its other groups allow."""
    cloud.group(project, "muted")
    cloud.policy(project, "mute", "ingress", 10, policy_rule("deny", "udp", "muted", 53))
    cloud.set_groups(project, "client", ["asks", "muted"])


@pytest.mark.parametrize("revoke", [rule_goes, member_goes, policy_comes, member_comes], ids=lambda one: one.__name__)
def test_answers_alone_keep_no_flow_alive_that_was_revoked_and_others_go_on(
    tenant: Callable, stream: Open, revoke: Callable[[Cloud, str], None]
) -> None:
    red, client, server = boot(tenant)
    doomed, other = (stream(client, server, server.address, port) for port in (53, 54))
    revoke(red.cloud, red.project)
    assert not doomed.arrives(timeout_s=SILENCE_S), "answers outlived what let the flow open"
    assert other.arrives(), "a flow that is allowed was cut"


def test_answers_from_and_to_outside_end_with_what_translated_them(
    tenant: Callable, cloud: Cloud, stream: Open, internet: Internet
) -> None:
    red, client, server = boot(tenant)
    cloud.snat(red.project)
    for port in (53, 54):
        cloud.dnat(red.project, OUTER, port, "udp", server.address, port)
    out = stream(client, internet.guest, Internet.SERVER, 9053, at=Internet.SERVER)
    revoked, kept = (stream(internet.guest, server, OUTER, port) for port in (53, 54))

    rule_goes(cloud, red.project)
    assert not revoked.arrives(timeout_s=SILENCE_S)
    assert kept.arrives() and out.arrives(), "a flow that is allowed was cut"
    cloud.delete_dnat(red.project, OUTER, 54, "udp")
    assert not kept.arrives(timeout_s=SILENCE_S) and out.arrives()
    cloud.policy(red.project, "stay", "egress", 10, policy_rule("deny", "udp", ANYWHERE))
    assert not out.arrives(timeout_s=SILENCE_S)


def test_answers_from_a_peer_end_with_the_rule_of_either_side(tenant: Callable, cloud: Cloud, stream: Open) -> None:
    red, client, near = boot(tenant)
    blue = tenant("10.40.0.0/16")
    cloud.group(blue.project, "answers", ingress=[allow("udp", (53, 54), ANYWHERE)])
    far = blue.boot("far", groups=("answers",))
    for one, other in ((red, blue), (blue, red)):
        cloud.peer(one.project, other.project)
    across, across_too = (stream(client, far, far.address, port) for port in (53, 54))
    at_home = stream(client, near, near.address, 53)

    cloud.policy(blue.project, "no-dns", "ingress", 10, policy_rule("deny", "udp", ANYWHERE, 53))
    assert not across.arrives(timeout_s=SILENCE_S)
    assert across_too.arrives() and at_home.arrives()
    cloud.unpeer(blue.project, red.project)
    assert not across_too.arrives(timeout_s=SILENCE_S)
    assert at_home.arrives()
