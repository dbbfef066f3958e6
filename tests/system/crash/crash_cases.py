"""Every call that creates, changes or deletes something, as a case: what is before, what is after, what packets do."""

import contextlib
import json
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import ip_address
from typing import Any, TypeVar

import grpc
from crash_world import IS_LINUX, PROBE, SILENCE_S, Case, World

from weftwork.client.client import Client, Mutation
from weftwork.client.errors import ApiError
from weftwork.client.messages import PolicyRule, Port, ReachTest, SecurityGroup
from weftwork.client.rules import policy_rule
from weftwork.drivers.linux import conntrack
from weftwork.testing.cloud import Rule, allow
from weftwork.testing.guests import Guest, arp, ethernet, run
from weftwork.testing.inside import inside
from weftwork.testing.internet import Internet

T = TypeVar("T")

LOCK = (policy_rule("allow", "tcp", "10.30.0.0/16", 80), policy_rule("deny", "all", "10.30.0.0/16"))

OTHER, FULL, PEER = "crash/other", "crash/full", "crash/peer"
SNAT_IP, DNAT_IP, FULL_IP = "203.0.113.50", "203.0.113.51", "203.0.113.60"
C_ADDRESS, FAR_ADDRESS, D_ADDRESS = "10.30.0.77", "10.30.9.77", "10.50.0.77"
BROADCAST, UNKNOWN = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"
LAB = (allow("tcp", 8080, "10.30.0.0/16"), allow("udp", 53, "10.30.0.0/16"))
"""Lets the probe pair's `a` reach port 8080 of whoever has the group."""


# --- reading and preparing


def found(world: World, reading: Coroutine[Any, Any, T]) -> T | None:
    try:
        return world.cloud.begin(reading).result()
    except ApiError as error:
        if error.code is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


def port_of(world: World, name: str) -> Port | None:
    return found(world, world.cloud.client.get_port(PROBE, name))


def lab_of(world: World) -> SecurityGroup | None:
    return found(world, world.cloud.client.get_security_group(PROBE, "lab"))


def gone(world: World, deletion: Mutation[None]) -> None:
    with contextlib.suppress(ApiError):
        world.cloud.do(deletion)
    world.cloud.settle()


def without_lab(world: World) -> None:
    gone(world, world.cloud.client.delete_security_group(PROBE, "lab", cascade=True))


def lab(*rules: Rule) -> Callable[[World], None]:
    """The group `lab` with these rules, worn by `b`."""

    def prepare(world: World) -> None:
        client = world.cloud.client
        if lab_of(world) is None:
            world.cloud.do(client.create_security_group(PROBE, "lab"))
        world.cloud.do(client.update_security_group(PROBE, "lab", ingress=rules))
        world.cloud.do(client.set_security_groups(PROBE, "b", ["web", "lab"]))
        world.cloud.settle()

    return prepare


def lab_worn(world: World, *, worn: bool) -> None:
    lab(*LAB)(world)
    if not worn:
        world.cloud.do(world.cloud.client.set_security_groups(PROBE, "b", ["web"]))
        world.cloud.settle()


def lab_has(rules: Sequence[Rule], other: Sequence[Rule]) -> Callable[[World], bool]:
    """Whether it has exactly these rules and not exactly the others; nothing else may be."""

    def is_done(world: World) -> bool:
        group = lab_of(world)
        assert group is not None
        there = _told(group.ingress_rules)
        assert there in (_told(rules), _told(other)), f"half a change: {there}"
        return there == _told(rules)

    return is_done


def _told(rules: Sequence[Rule]) -> list[tuple[int, int, str]]:
    return sorted((rule.protocol, rule.port_range.min, rule.source) for rule in rules)


def port_c(world: World, *, there: bool = True, subnet: str = "default", address: str = C_ADDRESS) -> None:
    port = port_of(world, "c")
    if port is not None and (not there or port.ip_address != address):
        gone(world, world.cloud.client.delete_port(PROBE, "c", cascade=True))
        port = None
    if there and port is None:
        world.cloud.port(PROBE, "c", subnet=subnet, groups=["web"], address=address)


def c_plugged(world: World) -> None:
    """And speaking: the kernel knows flows of it."""
    c_loose(world)
    world.cloud.plug(PROBE, "c", world.c.name)
    assert configured(world.c, C_ADDRESS).tcp(world.b.address, 80)


def c_loose(world: World) -> None:
    port_c(world)
    if is_plugged(world):
        world.cloud.unplug(PROBE, "c")
    if is_tapped(world):
        gone(world, world.cloud.client.detach_port(PROBE, "c"))


def c_tapped(world: World) -> None:
    c_loose(world)
    world.cloud.do(world.cloud.client.attach_port(PROBE, "c", "vm-c"))
    world.cloud.settle()


def is_plugged(world: World) -> bool:
    port = port_of(world, "c")
    return port is not None and port.attachment.netns == world.c.name


def is_tapped(world: World) -> bool:
    port = port_of(world, "c")
    return port is not None and port.vm_id == "vm-c"


def far_subnet(world: World) -> None:
    if found(world, world.cloud.client.get_subnet(PROBE, "far")) is None:
        world.cloud.subnet(PROBE, "far", "10.30.9.0/24")


def no_far_subnet(world: World) -> None:
    gone(world, world.cloud.client.delete_subnet(PROBE, "far", cascade=True))


def far_subnet_in_use(world: World) -> None:
    far_subnet(world)
    port_c(world, subnet="far", address=FAR_ADDRESS)
    if not is_plugged(world):
        world.cloud.plug(PROBE, "c", world.c.name)
    assert configured(world.c, FAR_ADDRESS).tcp(world.b.address, 80)


def snat(world: World, *, there: bool) -> None:
    if there:
        world.cloud.snat(PROBE, SNAT_IP)
    else:
        gone(world, world.cloud.client.delete_snat(PROBE))


def has_snat(world: World) -> bool:
    return bool(world.cloud.collect(world.cloud.client.list_snats(PROBE)))


def dnat(world: World, *, there: bool) -> None:
    if there:
        world.cloud.dnat(PROBE, DNAT_IP, 8080, "tcp", world.b.address, 80)
    else:
        gone(world, delete_dnat(world.cloud.client))


def delete_dnat(client: Client) -> Mutation[None]:
    return client.delete_dnat(PROBE, external_ip=DNAT_IP, external_port=8080, protocol="tcp")


def has_dnat(world: World) -> bool:
    return bool(world.cloud.collect(world.cloud.client.list_dnats(PROBE)))


def no_vpc(project: str) -> Callable[[World], None]:
    return lambda world: gone(world, world.cloud.client.delete_vpc(project, cascade=True))


def other_vpc(world: World) -> None:
    if not has_vpc(OTHER)(world):
        world.cloud.vpc(OTHER, "10.30.0.0/16")


def has_vpc(project: str) -> Callable[[World], bool]:
    return lambda world: found(world, world.cloud.client.get_vpc(project)) is not None


def full_vpc(world: World) -> None:
    """A second tenant with the probe's own addresses and one of everything, its guest in `c`."""
    if port_of(world, "c") is not None:
        port_c(world, there=False)
    if has_vpc(FULL)(world):
        return
    cloud = world.cloud
    cloud.vpc(FULL, "10.30.0.0/16")
    cloud.group(FULL, "web", ingress=list(LAB))
    cloud.subnet(FULL, "far", "10.30.9.0/24")
    guest = cloud.port(FULL, "guest", groups=["web", "default"], address=C_ADDRESS)
    cloud.port(FULL, "loose", subnet="far")
    tapped = cloud.port(FULL, "tapped", subnet="far")
    cloud.do(cloud.client.attach_port(FULL, tapped.id, "vm-full"))
    cloud.plug(FULL, guest.id, world.c.name)
    cloud.snat(FULL, FULL_IP)
    cloud.dnat(FULL, FULL_IP, 80, "tcp", C_ADDRESS, 80)
    cloud.dnat(FULL, FULL_IP, 53, "udp", C_ADDRESS, 53)


def peer_vpc(world: World) -> None:
    """The VPC of a peer, with its guest in `d`."""
    if has_vpc(PEER)(world):
        return
    cloud = world.cloud
    cloud.vpc(PEER, "10.50.0.0/16")
    cloud.group(PEER, "web", ingress=[allow("tcp", 80, "10.30.0.0/16")])
    cloud.plug(PEER, cloud.port(PEER, "guest", groups=["web"], address=D_ADDRESS).id, world.d.name)
    configured(world.d, D_ADDRESS)


def halves(*, own: bool, peer: bool) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        peer_vpc(world)
        for project, other, there in ((PROBE, PEER, own), (PEER, PROBE, peer)):
            if there:
                world.cloud.do(world.cloud.client.create_peering(project, other))
            else:
                gone(world, world.cloud.client.delete_peering(project, other))
        world.cloud.settle()

    return prepare


def is_peered(world: World) -> bool:
    half = found(world, world.cloud.client.get_peering(PROBE, PEER))
    return half is not None and half.state == half.STATE_ACTIVE


def locked(*rules: PolicyRule) -> Callable[[World], None]:
    """Everybody may come to 8080 of `b`, as far as its groups go; with a policy `lock` of these rules above."""

    def prepare(world: World) -> None:
        lab(*LAB)(world)
        no_lock(world)
        world.cloud.policy(PROBE, "lock", "ingress", 10, *rules)

    return prepare


def no_lock(world: World) -> None:
    lab(*LAB)(world)
    gone(world, world.cloud.client.delete_network_policy(PROBE, "lock"))


def is_locked(world: World) -> bool:
    policy = found(world, world.cloud.client.get_network_policy(PROBE, "lock"))
    return policy is not None and len(policy.rules) == len(LOCK)


# --- packets


def configured(guest: Guest, address: str) -> Guest:
    """It announces itself (RFC 5227): the address may have been another's a moment ago, and over OVN a neighbour hears
    no question of it, for the switch answers them."""
    if not guest.address:
        guest.configure(f"{address}/24", address.rpartition(".")[0] + ".1")
        guest.send_frame(ethernet(guest.mac, BROADCAST, 0x0806, arp(1, guest.mac, address, UNKNOWN, address)))
    return guest


def has_interface(guest: Guest) -> bool:
    return bool(run("ip", "-n", guest.name, "link", "show", guest.interface, check=False))


def flows_of(scope: str, address: str) -> int:
    """How many connections the kernel knows of an address (and forgets them: nobody may have it)."""
    known = run("ip", "netns", "exec", scope, "conntrack", "-L").splitlines()
    inside(scope, lambda: conntrack.forget([ip_address(address)]))
    return sum(f"={address} " in flow for flow in known)


def see_c(address: str = C_ADDRESS) -> Callable[[World, bool], None]:
    """A plugged `c` reaches and is reached as its group says; otherwise it is off the network."""

    def see(world: World, done: bool) -> None:
        there = is_plugged(world)
        assert has_interface(world.c) == there
        if there:
            guest = configured(world.c, address)
            assert guest.tcp(world.b.address, 80), "a new guest cannot speak"
            assert world.a.tcp(address, 80), "a new guest cannot be reached"
            assert world.a.tcp(address, 81, timeout_s=SILENCE_S) is None, "a new guest is too open"
        else:
            scope = port_scope(world)
            assert world.a.tcp(address, 80, timeout_s=SILENCE_S) is None
            # Over OVN a port's flows stay in its zone, which ovn-controller empties before another port gets it.
            assert not IS_LINUX or flows_of(scope, address) == 0, "flows of a guest that is gone"

    return see


def port_scope(world: World) -> str:
    return world.cloud.port_info(PROBE, "a").device_netns


def see_tap(world: World, done: bool) -> None:
    port = port_of(world, "c")
    links = json.loads(run("ip", "-n", port_scope(world), "-j", "link", "show", "type", "tun") or "[]")
    there = sum(link.get("ifalias", "").startswith("weftwork") for link in links)
    assert there == is_tapped(world), "the TAP is not as the port says"
    assert port is None or bool(port.device) == bool(there)


def see_lab(world: World, done: bool) -> None:
    wears = "lab" in _names(world, "b")
    group = lab_of(world)
    is_open = wears and group is not None and len(group.ingress_rules) == len(LAB)
    timeout_s = None if is_open else SILENCE_S
    assert (world.a.tcp(world.b.address, 8080, timeout_s=timeout_s) is not None) == is_open


def _names(world: World, port: str) -> set[str]:
    groups = world.cloud.collect(world.cloud.client.list_security_groups(PROBE))
    names = {group.id: group.name for group in groups}
    return {names[one] for one in world.cloud.port_info(PROBE, port).security_group_ids}


def see_snat(world: World, done: bool) -> None:
    there = has_snat(world)
    answer = world.a.tcp(Internet.SERVER, 80, timeout_s=None if there else SILENCE_S)
    assert (answer is not None) == there


def see_dnat(world: World, done: bool) -> None:
    there = has_dnat(world)
    answer = world.internet.tcp(DNAT_IP, 8080, timeout_s=None if there else SILENCE_S)
    assert (answer is not None) == there


def see_full(world: World, done: bool) -> None:
    there = has_vpc(FULL)(world)
    assert has_interface(world.c) == there
    if there:
        guest = configured(world.c, C_ADDRESS)
        assert guest.tcp(Internet.SERVER, 80), "the tenant lost its way out"
        assert guest.tcp(world.b.address, 80, timeout_s=SILENCE_S) is None, "two tenants can talk"
    else:
        assert world.internet.tcp(FULL_IP, 80, timeout_s=SILENCE_S) is None


def see_lock(world: World, done: bool) -> None:
    """And not half of it: the pair is open or shut."""
    shut = is_locked(world)
    answer = world.a.tcp(world.b.address, 8080, timeout_s=SILENCE_S if shut else None)
    assert (answer is None) == shut
    gone(world, world.cloud.client.delete_network_policy(PROBE, "lock"))


def see_peer(world: World, done: bool) -> None:
    there = is_peered(world)
    assert has_vpc(PEER)(world) or not there
    answer = world.a.tcp(D_ADDRESS, 80, timeout_s=None if there else SILENCE_S)
    assert (answer is not None) == there
    assert world.a.tcp(D_ADDRESS, 81, timeout_s=SILENCE_S) is None, "the peer is too open"


# --- the cases


def reach_tested(world: World, *, tested: bool) -> None:
    """The other VPC, with or without its first reach test."""
    other_vpc(world)
    if has_reach_test(world) and not tested:
        gone(world, world.cloud.client.delete_reach_test(OTHER, "quiet"))
    if not has_reach_test(world) and tested:
        world.cloud.do(quiet(world.cloud.client))


def quiet(client: Client) -> Mutation[ReachTest]:
    return client.create_reach_test(
        OTHER, "quiet", must="not-reach", source="group:default", destination="internet", service="tcp/25"
    )


def has_reach_test(world: World) -> bool:
    return found(world, world.cloud.client.get_reach_test(OTHER, "quiet")) is not None


def lent(world: World, *, shared: bool) -> None:
    """The other VPC, whose first subnet is shared, or is not."""
    other_vpc(world)
    if has_share(world) and not shared:
        gone(world, world.cloud.client.unshare_subnet(OTHER, "default", PROBE))
    if not has_share(world) and shared:
        world.cloud.do(world.cloud.client.share_subnet(OTHER, "default", PROBE))


def has_share(world: World) -> bool:
    """As both projects are told."""
    shares = world.cloud.collect(world.cloud.client.list_subnet_shares(OTHER))
    usable = world.cloud.collect(world.cloud.client.list_shared_subnets(PROBE))
    assert len(shares) == len(usable), "the two sides are told different things"
    return bool(shares)


CASES = (
    Case("create VPC", no_vpc(OTHER), lambda c: c.create_vpc(OTHER, cidr="10.30.0.0/16"), has_vpc(OTHER)),
    Case("delete VPC", other_vpc, lambda c: c.delete_vpc(OTHER, cascade=True), lambda w: not has_vpc(OTHER)(w)),
    Case(
        "delete VPC with everything in it",
        full_vpc,
        lambda c: c.delete_vpc(FULL, cascade=True),
        lambda w: not has_vpc(FULL)(w),
        see_full,
    ),
    Case("create reach test", lambda w: reach_tested(w, tested=False), quiet, has_reach_test),
    Case(
        "delete reach test",
        lambda w: reach_tested(w, tested=True),
        lambda c: c.delete_reach_test(OTHER, "quiet"),
        lambda w: not has_reach_test(w),
    ),
    Case(
        "share subnet",
        lambda w: lent(w, shared=False),
        lambda c: c.share_subnet(OTHER, "default", PROBE),
        has_share,
    ),
    Case(
        "end the share of a subnet",
        lambda w: lent(w, shared=True),
        lambda c: c.unshare_subnet(OTHER, "default", PROBE),
        lambda w: not has_share(w),
    ),
    Case(
        "create subnet",
        no_far_subnet,
        lambda c: c.create_subnet(PROBE, "far", cidr="10.30.9.0/24"),
        lambda w: found(w, w.cloud.client.get_subnet(PROBE, "far")) is not None,
    ),
    Case(
        "delete subnet",
        far_subnet,
        lambda c: c.delete_subnet(PROBE, "far"),
        lambda w: found(w, w.cloud.client.get_subnet(PROBE, "far")) is None,
    ),
    Case(
        "delete subnet with a guest in it",
        far_subnet_in_use,
        lambda c: c.delete_subnet(PROBE, "far", cascade=True),
        lambda w: found(w, w.cloud.client.get_subnet(PROBE, "far")) is None and port_of(w, "c") is None,
        see_c(FAR_ADDRESS),
    ),
    Case(
        "create port",
        lambda w: port_c(w, there=False),
        lambda c: c.create_port(PROBE, name="c", subnet="default", groups=["web"], ip=C_ADDRESS),
        lambda w: port_of(w, "c") is not None,
    ),
    Case(
        "delete port",
        c_loose,
        lambda c: c.delete_port(PROBE, "c"),
        lambda w: port_of(w, "c") is None,
    ),
    Case("plug port", c_loose, lambda c: c.plug_port(PROBE, "c", "wc-c"), is_plugged, see_c()),
    Case("unplug port", c_plugged, lambda c: c.unplug_port(PROBE, "c"), lambda w: not is_plugged(w), see_c()),
    Case(
        "delete plugged port",
        c_plugged,
        lambda c: c.delete_port(PROBE, "c"),
        lambda w: port_of(w, "c") is None,
        see_c(),
    ),
    Case("attach port", c_loose, lambda c: c.attach_port(PROBE, "c", "vm-c"), is_tapped, see_tap),
    Case("detach port", c_tapped, lambda c: c.detach_port(PROBE, "c"), lambda w: not is_tapped(w), see_tap),
    Case(
        "create group",
        without_lab,
        lambda c: c.create_security_group(PROBE, "lab", ingress=LAB),
        lambda w: lab_of(w) is not None,
        see_lab,
    ),
    Case(
        "update group",
        lab(),
        lambda c: c.update_security_group(PROBE, "lab", ingress=LAB),
        lab_has(LAB, ()),
        see_lab,
    ),
    Case("add rules", lab(), lambda c: c.add_rules(PROBE, "lab", ingress=LAB), lab_has(LAB, ()), see_lab),
    Case(
        "remove rules",
        lab(*LAB),
        lambda c: c.remove_rules(PROBE, "lab", ingress=LAB),
        lab_has((), LAB),
        see_lab,
    ),
    Case(
        "give a port a group",
        lambda w: lab_worn(w, worn=False),
        lambda c: c.set_security_groups(PROBE, "b", ["web", "lab"]),
        lambda w: "lab" in _names(w, "b"),
        see_lab,
    ),
    Case(
        "take a group from a port",
        lambda w: lab_worn(w, worn=True),
        lambda c: c.set_security_groups(PROBE, "b", ["web"]),
        lambda w: "lab" not in _names(w, "b"),
        see_lab,
    ),
    Case(
        "delete group",
        lambda w: lab_worn(w, worn=False),
        lambda c: c.delete_security_group(PROBE, "lab"),
        lambda w: lab_of(w) is None,
        see_lab,
    ),
    Case(
        "delete group that a port has",
        lambda w: lab_worn(w, worn=True),
        lambda c: c.delete_security_group(PROBE, "lab", cascade=True),
        lambda w: lab_of(w) is None,
        see_lab,
    ),
    Case(
        "create SNAT",
        lambda w: snat(w, there=False),
        lambda c: c.create_snat(PROBE, external_ip=SNAT_IP),
        has_snat,
        see_snat,
    ),
    Case(
        "delete SNAT",
        lambda w: snat(w, there=True),
        lambda c: c.delete_snat(PROBE),
        lambda w: not has_snat(w),
        see_snat,
    ),
    Case(
        "create DNAT",
        lambda w: dnat(w, there=False),
        lambda c: c.create_dnat(
            PROBE, external_ip=DNAT_IP, external_port=8080, protocol="tcp", internal_ip="10.30.0.3", internal_port=80
        ),
        has_dnat,
        see_dnat,
    ),
    Case("delete DNAT", lambda w: dnat(w, there=True), delete_dnat, lambda w: not has_dnat(w), see_dnat),
    Case(
        "accept peering",
        halves(own=False, peer=True),
        lambda c: c.create_peering(PROBE, PEER),
        is_peered,
        see_peer,
    ),
    Case(
        "delete peering",
        halves(own=True, peer=True),
        lambda c: c.delete_peering(PROBE, PEER),
        lambda w: not is_peered(w),
        see_peer,
    ),
    Case(
        "delete VPC of a peer",
        halves(own=True, peer=True),
        lambda c: c.delete_vpc(PEER, cascade=True),
        lambda w: not has_vpc(PEER)(w),
        see_peer,
    ),
    Case(
        "create network policy",
        no_lock,
        lambda c: c.create_network_policy(PROBE, "lock", "ingress", 10, rules=LOCK),
        is_locked,
        see_lock,
    ),
    Case(
        "update network policy",
        locked(),
        lambda c: c.update_network_policy(PROBE, "lock", rules=LOCK),
        is_locked,
        see_lock,
    ),
    Case(
        "delete network policy",
        locked(*LOCK),
        lambda c: c.delete_network_policy(PROBE, "lock"),
        lambda w: not is_locked(w),
        see_lock,
    ),
)
