"""What this process chooses next: addresses, MACs, VNIs, ranges. Compares in the store make a choice exclusive;
this keeps the actions of one process from choosing the same thing at the same time.
"""

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from weakref import WeakKeyDictionary

from weftwork.actions.index import ProjectIndex
from weftwork.actions.view import IntentView
from weftwork.allocator import addresses, cidrs, external, macs, vnis
from weftwork.base import codes
from weftwork.base.addresses import Address, Cidr, Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.keys import ThingKey
from weftwork.model.subnet import Subnet
from weftwork.seams.store import Conflict, Put, Store, Transaction, Unchanged


class MacsNeeded(Exception):
    """The block of MACs of the owner's VPC is used up: reserve another one and decide again."""

    def __init__(self, owner: ProjectKey) -> None:
        super().__init__(owner)
        self.owner = owner


@dataclass(slots=True)
class _Hand:
    """Where choosing goes on in one VPC. It ends with the VPC: its successor counts its own MACs."""

    cursors: dict[str, int] = field(default_factory=dict)
    macs: range = range(0)
    reserving: asyncio.Lock = field(default_factory=asyncio.Lock)


class Choices:
    """`held` are the keys of claims that actions under way have chosen."""

    def __init__(self, store: Store, view: IntentView, origin: "Choices | None" = None) -> None:
        """With `origin`, a rehearsal: it goes on where the origin is, without moving it."""
        self.held: set[str] = set(origin.held) if origin else set()
        self._origin = origin
        self._store = store
        self._view = view
        self._last_vni: int = origin._last_vni if origin else vnis.FIRST - 1
        self._hands: WeakKeyDictionary[ProjectIndex, _Hand] = WeakKeyDictionary()

    def address(self, here: ProjectIndex, subnet: Subnet) -> tuple[IPv4Address, str]:
        """A free address and the key of its claim; say `took_address` once it is decided. Refusal SUBNET_EXHAUSTED."""
        cidr = subnet.cidr
        assert isinstance(cidr, IPv4Network)
        taken = here.used(subnet)
        cursor = self._hand(here).cursors.get(subnet.name, 0)
        tried: set[int] = set()
        while True:
            offset = addresses.next_address(cidr, taken, cursor)
            if offset is None or offset in tried:
                raise _exhausted(subnet)
            cursor = offset
            address = addresses.address_at(cidr, offset)
            key = keys.allocated(subnet.owner, subnet.name, address)
            if key not in self.held:
                return address, key
            tried.add(offset)

    def took_address(self, here: ProjectIndex, subnet: Subnet, address: Address) -> None:
        """The next choice is behind it."""
        self._hand(here).cursors[subnet.name] = addresses.offset_of(subnet.cidr, address)

    def mac(self, here: ProjectIndex, owner: ProjectKey) -> Mac:
        """A MAC that no port of the VPC ever had, unless a tenant chose it. Raises MacsNeeded."""
        hand = self._hand(here)
        while hand.macs:
            mac = macs.mac_at(hand.macs[0])
            hand.macs = hand.macs[1:]
            if mac not in here.port_by_mac:
                return mac
        raise MacsNeeded(owner)

    def vni(self) -> tuple[int, str]:
        """A free VNI and the key of its claim. Refusal VNI_EXHAUSTED."""
        tried: set[int] = set()
        while True:
            vni = vnis.next_vni(self._view.vnis, self._last_vni)
            if vni is None or vni in tried:
                raise codes.VNI_EXHAUSTED.refusal(f"all VNIs from {vnis.FIRST} to {vnis.LAST} are taken")
            self._last_vni = vni
            key = keys.vni_claim(vni)
            if key not in self.held:
                return vni, key
            tried.add(vni)

    def vpc_range(self, pool: Cidr, reserved: tuple[Cidr, ...]) -> IPv4Network:
        """A free range of the pool. Refusal CIDR_POOL_EXHAUSTED."""
        assert isinstance(pool, IPv4Network)
        avoided = (one for one in reserved if isinstance(one, IPv4Network))
        chosen = cidrs.next_vpc_range(pool, self._is_range_taken, avoided)
        if chosen is None:
            raise codes.CIDR_POOL_EXHAUSTED.refusal(
                f"every range of the pool {pool} is taken", hint="Give the VPC a CIDR: it may be any, also one in use."
            )
        return chosen

    def external(self, pools: tuple[Cidr, ...], gateway: Address | None) -> IPv4Address:
        """A free external address. Refusal EXTERNAL_POOL_EXHAUSTED."""
        chosen = external.next_external(pools, gateway, self._is_external_taken)
        if chosen is None:
            why = "every external address is taken" if pools else "the operator offers no external addresses"
            raise codes.EXTERNAL_POOL_EXHAUSTED.refusal(why)
        return chosen

    async def reserve_macs(self, owner: ProjectKey) -> None:
        """Take the next block from the VPC's counter, once for all who wait. Refusal MAC_EXHAUSTED; may raise Conflict.

        The counter is durable before any of its MACs is given, so a crash wastes MACs and never repeats one.
        """
        here = self._view.project(owner)
        if here is None:
            return
        hand = self._hand(here)
        async with hand.reserving:
            # Before anything is awaited: the counter must be that of the VPC in this view, not of a later one.
            vpc = ThingKey("vpc", owner)
            vpc_revision = self._view.revision_of(vpc)
            if hand.macs or not vpc_revision:
                return
            block, revision = await self._next_block(owner)
            counter = keys.mac_counter(owner)
            compares = (Unchanged(counter, revision), Unchanged(str(vpc), vpc_revision))
            try:
                await self._store.commit(Transaction(compares, (Put(counter, str(block.stop).encode()),)))
            except Conflict as conflict:
                await self._view.wait_for(conflict.revision, timeout_s=1.0)
                return
            hand.macs = block

    async def foresee_macs(self, owner: ProjectKey) -> None:
        """As if the next block was reserved."""
        here = self._view.project(owner)
        if here is not None:
            self._hand(here).macs = (await self._next_block(owner))[0]

    async def _next_block(self, owner: ProjectKey) -> tuple[range, int]:
        record = await self._store.get(keys.mac_counter(owner))
        block = macs.next_block(int(record.value) if record else 0)
        if not block:
            raise codes.MAC_EXHAUSTED.refusal(f"VPC {owner} has no MAC address left")
        return block, record.revision if record else 0

    def _hand(self, here: ProjectIndex) -> _Hand:
        hand = self._hands.get(here)
        if hand is None:
            model = self._origin._hand(here) if self._origin else _Hand()
            hand = self._hands[here] = _Hand(dict(model.cursors), model.macs)
        return hand

    def _is_range_taken(self, range_: IPv4Network) -> bool:
        return range_ in self._view.pool_claims or keys.cidr_used(range_) in self.held

    def _is_external_taken(self, address: IPv4Address) -> bool:
        return address in self._view.external or keys.external_claim(address) in self.held


def _exhausted(subnet: Subnet) -> Exception:
    return codes.SUBNET_EXHAUSTED.refusal(
        f"subnet {subnet.name!r} ({subnet.cidr}) has no free address", capacity=str(addresses.capacity(subnet.cidr))
    )
