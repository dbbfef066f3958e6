"""What a DHCPv4 server answers, from its program alone (RFC 2131 §4.3).

There are no leases: a MAC has one address, chosen when its port was created, and every answer says so.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Mac
from weftwork.drivers.dhcp import codec
from weftwork.drivers.dhcp.codec import Frame, Message
from weftwork.program.dhcp import DhcpBinding, DhcpServer

Bindings = Mapping[Mac, DhcpBinding]
"""Of one interface."""


class Outcome(Enum):
    """What became of a frame; each is a counter."""

    OFFERED = "offered"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """NAK: the client asked for an address that is not its own."""
    INFORMED = "informed"
    RELEASED = "released"
    DECLINED = "declined"
    """The client found its address in use: something in the subnet answered for it."""
    MALFORMED = "malformed"
    SPOOFED = "spoofed"
    """The client hardware address is not the frame's sender."""
    RELAYED = "relayed"
    """Came through a relay agent; there is none in a subnet of ours."""
    OTHER_SERVER = "other_server"
    UNKNOWN_CLIENT = "unknown_client"
    NOT_FOR_SERVERS = "not_for_servers"
    """A reply, or a message type that only other kinds of servers understand."""


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    reply: Frame | None = None


def answer(request: Frame, *, server: DhcpServer, bindings: Bindings, server_mac: bytes) -> Answer:
    """A reply goes from `server_mac` (6 bytes) to the sender's MAC and to nobody else."""
    message = request.message
    binding = bindings.get(Mac(request.source_mac.hex(":")))
    kind = message.option(codec.MESSAGE_TYPE)
    if message.op != codec.BOOT_REQUEST or request.destination_port != codec.SERVER_PORT:
        return Answer(Outcome.NOT_FOR_SERVERS)
    if message.chaddr != request.source_mac:
        return Answer(Outcome.SPOOFED)
    if message.giaddr != codec.ANY:
        return Answer(Outcome.RELAYED)
    if kind is None or len(kind) != 1 or _malformed(message):
        return Answer(Outcome.MALFORMED)
    if binding is None:
        return Answer(Outcome.UNKNOWN_CLIENT)
    if not _is_addressed(request, server):
        return Answer(Outcome.OTHER_SERVER)
    conversation = _Conversation(request, server, binding, server_mac)
    match kind[0]:
        case codec.DISCOVER:
            return conversation.grant(Outcome.OFFERED, codec.OFFER)
        case codec.REQUEST:
            return conversation.answer_request()
        case codec.INFORM:
            return conversation.inform()
        case codec.RELEASE:
            return Answer(Outcome.RELEASED)
        case codec.DECLINE:
            return Answer(Outcome.DECLINED)
        case _:
            return Answer(Outcome.NOT_FOR_SERVERS)


@dataclass(frozen=True, slots=True)
class _Conversation:
    """A well-formed message of a known client, and who answers it."""

    request: Frame
    server: DhcpServer
    binding: DhcpBinding
    server_mac: bytes

    def answer_request(self) -> Answer:
        """SELECTING and INIT-REBOOT name the address in an option, RENEWING and REBINDING in `ciaddr`."""
        asked = _address(self.request.message, codec.REQUESTED_ADDRESS) or self.request.message.ciaddr
        if asked == codec.ANY:
            return Answer(Outcome.MALFORMED)
        if asked != self.binding.address:
            return self.refuse()
        return self.grant(Outcome.ACKNOWLEDGED, codec.ACK)

    def grant(self, outcome: Outcome, kind: int) -> Answer:
        message = self.request.message
        mine = self.binding.address
        return self._reply(
            outcome,
            kind,
            {**_lease(self.server.lease_time_s), **_subnet(self.server), **_client(self.binding)},
            destination=codec.EVERYONE if message.broadcast and message.ciaddr == codec.ANY else mine,
            # An offer leaves it empty (RFC 2131, table 3).
            ciaddr=message.ciaddr if kind == codec.ACK else codec.ANY,
            yiaddr=mine,
        )

    def inform(self) -> Answer:
        """The client configured its address itself and keeps it: no address, no lease (RFC 2131 §4.3.5)."""
        client = self.request.message.ciaddr
        if client == codec.ANY:
            client = self.request.source
        if client not in _network(self.server):
            return Answer(Outcome.MALFORMED)
        return self._reply(
            Outcome.INFORMED,
            codec.ACK,
            {**_subnet(self.server), **_client(self.binding)},
            destination=client,
            ciaddr=self.request.message.ciaddr,
        )

    def refuse(self) -> Answer:
        text = f"your address is {self.binding.address}".encode()
        return self._reply(Outcome.REFUSED, codec.NAK, {codec.MESSAGE: text}, destination=codec.EVERYONE)

    def _reply(
        self,
        outcome: Outcome,
        kind: int,
        offered: Mapping[int, bytes],
        *,
        destination: IPv4Address,
        ciaddr: IPv4Address = codec.ANY,
        yiaddr: IPv4Address = codec.ANY,
    ) -> Answer:
        message = self.request.message
        envelope = {codec.MESSAGE_TYPE: bytes((kind,)), codec.SERVER_ID: self.server.server.packed}
        client_id = message.option(codec.CLIENT_ID)
        if client_id is not None:
            envelope[codec.CLIENT_ID] = client_id  # RFC 6842
        reply = Message(
            op=codec.BOOT_REPLY,
            xid=message.xid,
            chaddr=message.chaddr,
            options=_choose(message, envelope, offered, _room_bytes(message, self.server)),
            broadcast=message.broadcast,
            ciaddr=ciaddr,
            yiaddr=yiaddr,
        )
        frame = Frame(
            source_mac=self.server_mac,
            destination_mac=self.request.source_mac,
            source=self.server.server,
            destination=destination,
            source_port=codec.SERVER_PORT,
            destination_port=codec.CLIENT_PORT,
            message=reply,
        )
        return Answer(outcome, frame)


_ALWAYS = (
    codec.MESSAGE,
    codec.LEASE_TIME,
    codec.RENEWAL_TIME,
    codec.REBINDING_TIME,
    codec.SUBNET_MASK,
    codec.ROUTER,
    codec.INTERFACE_MTU,
)
"""Without these a client is not on the network, whether it thought of asking or not."""

_ONLY_IF_ASKED = frozenset({codec.CLASSLESS_ROUTES})
"""Says what ROUTER says, in more bytes; who asks for it ignores ROUTER (RFC 3442)."""


def _choose(
    message: Message, envelope: Mapping[int, bytes], offered: Mapping[int, bytes], room_bytes: int
) -> codec.Options:
    """The envelope, what must be said, then what was asked for in its order, while there is room."""
    asked = message.option(codec.PARAMETER_REQUEST_LIST)
    wanted = tuple(code for code in offered if code not in _ONLY_IF_ASKED) if asked is None else asked
    chosen = dict(envelope)
    chosen.update((code, offered[code]) for code in _ALWAYS if code in offered)
    used = sum(len(codec.encode_option(*option)) for option in chosen.items())
    for code in wanted:
        value = offered.get(code)
        if value is None or code in chosen:
            continue
        size = len(codec.encode_option(code, value))
        if used + size <= room_bytes:
            chosen[code] = value
            used += size
    return tuple(chosen.items())


def _room_bytes(message: Message, server: DhcpServer) -> int:
    """For options: every client takes datagrams of 576 bytes; more if it says so and the link carries it."""
    said = message.option(codec.MAX_MESSAGE_SIZE)
    datagram = min(int.from_bytes(said, "big"), server.mtu_bytes) if said else 0
    return max(datagram, 576) - codec.HEADERS_BYTES - codec.bare_message_bytes()


def _lease(lease_time_s: int) -> dict[int, bytes]:
    return {
        codec.LEASE_TIME: _uint32(lease_time_s),
        codec.RENEWAL_TIME: _uint32(lease_time_s // 2),
        codec.REBINDING_TIME: _uint32(lease_time_s * 7 // 8),
    }


def _subnet(server: DhcpServer) -> dict[int, bytes]:
    """What every client of the subnet is told; what the program leaves empty is not mentioned."""
    network = _network(server)
    router = server.server.packed
    said = {
        codec.SUBNET_MASK: network.netmask.packed,
        codec.ROUTER: router,
        codec.CLASSLESS_ROUTES: b"\0" + router,
        codec.DNS_SERVERS: b"".join(address.packed for address in server.dns_servers),
        codec.DOMAIN_NAME: server.domain_name.encode(),
        codec.NTP_SERVERS: b"".join(address.packed for address in server.ntp_servers),
        codec.INTERFACE_MTU: struct.pack("!H", min(server.mtu_bytes, 0xFFFF)),
        codec.BROADCAST_ADDRESS: network.broadcast_address.packed if network.prefixlen < 31 else b"",
    }
    return {code: value for code, value in said.items() if value}


def _client(binding: DhcpBinding) -> dict[int, bytes]:
    return {codec.HOSTNAME: binding.hostname.encode()} if binding.hostname else {}


def _is_addressed(request: Frame, server: DhcpServer) -> bool:
    """Not when the client talks to another server, by name or by address."""
    named = _address(request.message, codec.SERVER_ID)
    reachable = (codec.EVERYONE, server.server, _network(server).broadcast_address)
    return named in (None, server.server) and request.destination in reachable


def _malformed(message: Message) -> bool:
    """An option that we read has an impossible length; a client identifier must fit in one to be echoed."""
    addresses = (message.option(codec.REQUESTED_ADDRESS), message.option(codec.SERVER_ID))
    return (
        any(value is not None and len(value) != 4 for value in addresses)
        or len(message.option(codec.MAX_MESSAGE_SIZE) or b"\0\0") != 2
        or len(message.option(codec.CLIENT_ID) or b"") > 255
    )


def _address(message: Message, code: int) -> IPv4Address | None:
    value = message.option(code)
    return None if value is None else IPv4Address(value)


def _network(server: DhcpServer) -> IPv4Network:
    return IPv4Network((server.server, server.prefix_length), strict=False)


def _uint32(seconds: int) -> bytes:
    return struct.pack("!I", min(seconds, 0xFFFFFFFF))
