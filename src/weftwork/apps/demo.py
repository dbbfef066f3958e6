"""`make demo`: two tenants with the same addresses, told packet by packet. Every line is a real packet's verdict."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from weftwork.drivers.linux import namespaces
from weftwork.testing.cloud import Cloud, Rule, allow
from weftwork.testing.guests import Guest, arp, ethernet, icmp_echo, ipv4
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node
from weftwork.testing.residue import Residue

ACME, BLUTH = "acme/shop", "bluth/shop"
CIDR = "10.20.0.0/16"
EVERYTHING: Rule = allow("all", None, "0.0.0.0/0")
FROM_WEB: Rule = allow("tcp", 5432, "web")
SILENCE_S = 0.8
"""How long nothing must come before we say that nothing does."""
GUESTS = ((ACME, "web1"), (ACME, "web2"), (ACME, "db1"), (BLUTH, "web1"), (BLUTH, "web2"))


class Story:
    """Prints each step with what was expected, and counts."""

    def __init__(self) -> None:
        self.told = 0
        self.wrong: list[str] = []
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def chapter(self, title: str) -> None:
        print(f"\n{self._paint('1', title)}", flush=True)

    def note(self, text: str) -> None:
        print(f"    {self._paint('2', text)}", flush=True)

    def line(self, text: str, probe: Callable[[], object], *, passes: bool, because: str) -> None:
        """Send a packet by `probe`; its verdict must be `passes`."""
        began = time.monotonic()
        passed = bool(probe())
        took_ms = (time.monotonic() - began) * 1000
        self.told += 1
        verdict = self._paint("32", "passes ") if passed else self._paint("36", "blocked")
        mark = self._paint("32", "✓") if passed == passes else self._paint("31", "✗ WRONG")
        print(f"  {mark} {text:<56} {verdict}  {because} ({took_ms:.0f} ms)", flush=True)
        if passed != passes:
            self.wrong.append(text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays."""

    web1: Guest
    web2: Guest
    db1: Guest
    twin1: Guest
    twin2: Guest
    internet: Internet


def main() -> int:
    if os.geteuid():
        print("error: the demo makes network namespaces and needs root; run it with sudo.", file=sys.stderr)
        return 1
    if ours := [name for name in namespaces.names() if name.startswith("weft-")]:
        print(
            f"error: this machine has networks of Weftwork ({', '.join(ours)}), which the demo would take for strays."
        )
        print("next: weft down; or give the demo a network of its own: python3 tools/private_network.py make demo")
        return 1
    backend = os.environ.get("BACKEND", "")
    before = Residue.look()
    story = Story()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-demo-")))
        node = stack.enter_context(Node(folder, external=(Internet.CIDR, Internet.GATEWAY), backend=backend))
        cloud = stack.enter_context(node.cloud())
        cast = _set_the_stage(story, cloud, stack)
        for scene in (_groups, _tenants, _spoofing):
            scene(story, cast)
        for scene_with_changes in (_outside, _why, _revocation):
            scene_with_changes(story, cloud, cast)
        if os.environ.get("KEEP", "") not in ("", "0"):
            _keep(node, cast)
        _tear_down(story, cloud)
    left = before.left_over()
    print(f"\n{story.told} packets and flows tried, {len(story.wrong)} not as expected.")
    print("Residue on this machine: " + ("; ".join(left) if left else "none."))
    return 1 if story.wrong or left else 0


def _set_the_stage(story: Story, cloud: Cloud, stack: ExitStack) -> Cast:
    story.chapter(f"Two tenants, {ACME} and {BLUTH}, with the same addresses: {CIDR}")
    for project in (ACME, BLUTH):
        _make_tenant(cloud, project)
    internet = stack.enter_context(Internet("demo-internet"))
    guests = [stack.enter_context(_boot(cloud, project, port)) for project, port in GUESTS]
    for (project, port), guest in zip(GUESTS, guests, strict=True):
        name = f"{project} {port}"
        story.note(f"{name:<17} got {guest.address:<10} by DHCP; MAC {guest.mac}, MTU {guest.mtu_bytes}")
        guest.serve(tcp=[80, 5432], udp=[53])
    internet.serve(tcp=[80])
    web1, web2, db1, twin1, twin2 = guests
    return Cast(web1, web2, db1, twin1, twin2, internet)


def _make_tenant(cloud: Cloud, project: str) -> None:
    cloud.vpc(project, CIDR)
    cloud.subnet(project, "data", "10.20.1.0/24")
    open_web = [allow("tcp", 80, "0.0.0.0/0"), allow("icmp", None, "web")]
    cloud.group(project, "web", ingress=open_web, egress=[EVERYTHING])
    cloud.group(project, "db", ingress=[FROM_WEB], egress=[EVERYTHING])
    cloud.port(project, "web1", groups=["web"])
    cloud.port(project, "web2", groups=["web"])
    cloud.port(project, "db1", subnet="data", groups=["db"])


def _boot(cloud: Cloud, project: str, port: str) -> Guest:
    """A namespace as the guest: plugged in, then configured by a real DHCP client."""
    guest = Guest.boot(f"demo-{project.split('/')[0]}-{port}")
    try:
        cloud.plug(project, port, guest.name)
        if guest.dhcp() is None:
            raise RuntimeError(f"{guest.name} got no address by DHCP")
    except BaseException:
        guest.shut_down()
        raise
    return guest


def _groups(story: Story, cast: Cast) -> None:
    story.chapter("Inside a tenant: security groups decide")
    web1, db1 = cast.web1, cast.db1
    a, b, c = web1.address, cast.web2.address, db1.address
    story.line(f"web1 pings web2 ({b})", lambda: web1.ping(b, tries=3), passes=True, because="same group")
    story.line(f"web1 calls web2 {b}:80/tcp", lambda: web1.tcp(b, 80), passes=True, because="open to all")
    story.line(
        f"web1 calls web2 {b}:5432/tcp", lambda: web1.tcp(b, 5432, timeout_s=SILENCE_S), passes=False, because="no rule"
    )
    story.line(
        f"web1 calls db1 {c}:5432/tcp",
        lambda: web1.tcp(c, 5432),
        passes=True,
        because="other subnet; db lets group web in",
    )
    story.line(
        f"web1 pings db1 ({c})",
        lambda: web1.ping(c, timeout_s=SILENCE_S),
        passes=False,
        because="only 5432/tcp is let in",
    )
    story.line(f"db1 calls web1 {a}:80/tcp", lambda: db1.tcp(a, 80), passes=True, because="open to all")
    story.line(
        f"db1 sends to web1 {a}:53/udp", lambda: db1.udp(a, 53, timeout_s=SILENCE_S), passes=False, because="no rule"
    )


def _tenants(story: Story, cast: Cast) -> None:
    story.chapter("Between tenants: the same addresses, two worlds")
    target = cast.web2.address
    story.note(f"acme's and bluth's web2 both are {target}; who answers tells them apart")

    def answered_by(caller: Guest, server: Guest) -> bool:
        return f"from {server.name}" in (caller.tcp(target, 80) or "")

    story.line(
        f"acme's web1 calls {target}:80: acme's web2 answers",
        lambda: answered_by(cast.web1, cast.web2),
        passes=True,
        because="its own",
    )
    story.line(
        f"bluth's web1 calls {target}:80: acme's web2 answers",
        lambda: answered_by(cast.twin1, cast.web2),
        passes=False,
        because="bluth's own answers",
    )
    with cast.twin2.sniff() as tap:
        cast.web1.ping(target)
        pings = [frame for frame in tap.frames() if frame[12:14] == b"\x08\x00" and frame[23] == 1]
    story.line("acme's ping is seen at bluth's web2", lambda: pings, passes=False, because="no wire between them")


def _spoofing(story: Story, cast: Cast) -> None:
    story.chapter("A guest that lies is not heard")
    web1, web2 = cast.web1, cast.web2
    mine, theirs = web1.address, web2.address
    gateway = mine.rsplit(".", 1)[0] + ".1"

    def heard(frame: bytes) -> bool:
        with web2.sniff() as tap:
            web1.send_frame(frame)
            return any(frame[14:42] in got for got in tap.frames())

    def ping_from(mac: str, address: str) -> bytes:
        return ethernet(mac, web2.mac, 0x0800, ipv4(address, theirs, 1, icmp_echo()))

    claim = ethernet(web1.mac, web2.mac, 0x0806, arp(2, web1.mac, gateway, web2.mac, theirs))
    frames = (
        ("sends as itself", ping_from(web1.mac, mine), True, "for comparison"),
        ("sends as 10.20.0.99", ping_from(web1.mac, "10.20.0.99"), False, "not its address"),
        ("sends from another MAC", ping_from("02:57:00:00:00:99", mine), False, "not its MAC"),
        (f"says by ARP that it is {gateway}", claim, False, "not its to say"),
    )
    for text, frame, passes, because in frames:
        story.line(f"web1 {text}", lambda frame=frame: heard(frame), passes=passes, because=because)  # type: ignore[misc]


def _outside(story: Story, cloud: Cloud, cast: Cast) -> None:
    story.chapter("The internet: nothing without NAT, then exactly what was asked for")
    web1, far, outer = cast.web1, Internet.SERVER, "203.0.113.10"
    inner, internet = cast.web2.address, cast.internet
    story.line(
        f"web1 calls {far}:80",
        lambda: web1.tcp(far, 80, timeout_s=SILENCE_S),
        passes=False,
        because="no SNAT, no way out",
    )
    cloud.snat(ACME, outer)
    story.note(f"weft snat create --external {outer}")
    story.line(f"web1 calls {far}:80", lambda: web1.tcp(far, 80), passes=True, because=f"leaves as {outer}")
    story.line(
        f"the internet calls web2 {inner}:80",
        lambda: internet.tcp(inner, 80, timeout_s=SILENCE_S),
        passes=False,
        because="private address",
    )
    story.line(
        f"the internet calls {outer}:8080",
        lambda: internet.tcp(outer, 8080, timeout_s=SILENCE_S),
        passes=False,
        because="no forward yet",
    )
    cloud.dnat(ACME, outer, 8080, "tcp", inner, 80)
    story.note(f"weft dnat create --external {outer}:8080/tcp --to web2:80")
    story.line(
        f"the internet calls {outer}:8080", lambda: internet.tcp(outer, 8080), passes=True, because="now web2:80"
    )
    story.line(f"web1 calls {outer}:8080 from inside", lambda: web1.tcp(outer, 8080), passes=True, because="hairpin")
    story.line(
        f"the internet calls {outer}:5432",
        lambda: internet.tcp(outer, 5432, timeout_s=SILENCE_S),
        passes=False,
        because="not forwarded",
    )


def _why(story: Story, cloud: Cloud, cast: Cast) -> None:
    """Each answer beside a real packet: both must say the same, and the answer must name what decides."""
    story.chapter("Why: weft explain says it, and a packet shows that it is so")
    web1, db1, twin1 = cast.web1, cast.db1, cast.twin1
    inner, data, far, outer = cast.web2.address, db1.address, Internet.SERVER, "203.0.113.10"

    def tcp(guest: Guest | Internet, to: str, port: int, passes: bool) -> Callable[[], object]:
        return lambda: guest.tcp(to, port, timeout_s=None if passes else SILENCE_S)

    def ping(to: str, passes: bool) -> Callable[[], object]:
        return lambda: web1.ping(to, tries=3) if passes else web1.ping(to, timeout_s=SILENCE_S)

    situations = (
        (ACME, "web1", "web2", "icmp", ping(inner, True), "INGRESS_RULE"),
        (ACME, "web1", "web2", "tcp/80", tcp(web1, inner, 80, True), "INGRESS_RULE"),
        (ACME, "web1", "web2", "tcp/5432", tcp(web1, inner, 5432, False), "NO_INGRESS_RULE"),
        (ACME, "web1", "db1", "tcp/5432", tcp(web1, data, 5432, True), "INGRESS_RULE"),
        (ACME, "web1", "db1", "icmp", ping(data, False), "NO_INGRESS_RULE"),
        (ACME, "web1", far, "tcp/80", tcp(web1, far, 80, True), "SNAT"),
        (ACME, "web1", outer, "tcp/8080", tcp(web1, outer, 8080, True), "HAIRPIN"),
        (ACME, "internet", outer, "tcp/8080", tcp(cast.internet, outer, 8080, True), "DNAT"),
        (ACME, "internet", outer, "tcp/5432", tcp(cast.internet, outer, 5432, False), "NO_DNAT"),
        (BLUTH, "web1", far, "tcp/80", tcp(twin1, far, 80, False), "NO_SNAT"),
    )
    for project, source, destination, service, probe, decides in situations:
        told = cloud.explain(project, source, destination, service)
        because = f"explain: {', '.join(dict.fromkeys(one.code for one in told.decides))}"
        text = f"{project.split('/')[0]} {source} to {destination} by {service}"
        story.line(text, probe, passes=told.reachable, because=because)
        if decides not in {one.code for one in told.decides}:
            story.wrong.append(f"{text}: explain does not name {decides}")


def _revocation(story: Story, cloud: Cloud, cast: Cast) -> None:
    story.chapter("A revoked rule ends the flows it allowed, and only those")
    web1, db1 = cast.web1, cast.db1
    flow, other = web1.connect(db1.address, 5432), db1.connect(web1.address, 80)
    story.line("web1 to db1:5432, an open connection", flow.echo, passes=True, because="allowed")
    story.line("db1 to web1:80, another open connection", other.echo, passes=True, because="allowed")
    cloud.remove_rules(ACME, "db", ingress=[FROM_WEB])
    story.note("weft security-group rule remove db --ingress --protocol tcp --ports 5432 --from web")
    story.line(
        "web1 to db1:5432, the same connection",
        lambda: flow.echo(timeout_s=SILENCE_S),
        passes=False,
        because="its rule is gone",
    )
    story.line("db1 to web1:80, the other connection", other.echo, passes=True, because="another rule's")
    cloud.add_rules(ACME, "db", ingress=[FROM_WEB])
    again = db1.address
    story.line("web1 calls db1:5432 anew", lambda: web1.tcp(again, 5432), passes=True, because="the rule is back")
    flow.close()
    other.close()


def _keep(node: Node, cast: Cast) -> None:
    weft = f"{sys.executable} -m weftwork.apps.weft"
    print(f"""
All of this is still running. In another terminal:
    export WEFT_SERVER={node.address}
    {weft} -P {ACME} port list
    {weft} -P {ACME} security-group show db
    {weft} target show
    ip netns exec {cast.web1.name} ping -c 3 {cast.web2.address}
Press Enter here to tear it down.""")
    try:
        sys.stdin.readline()
    except KeyboardInterrupt:
        print()


def _tear_down(story: Story, cloud: Cloud) -> None:
    story.chapter("Tear down")
    for project in (ACME, BLUTH):
        cloud.delete_vpc(project, cascade=True)
    leaks = cloud.leaks()
    story.note(f"weft vpc delete --cascade, for both; weft leaks: {leaks or 'nothing without an owner'}")
    if leaks:
        story.wrong.append("leaks")


if __name__ == "__main__":
    sys.exit(main())
