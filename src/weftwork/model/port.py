"""A port: a tenant's attachment to a subnet, with its address, MAC and security groups (N §3.4)."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from weftwork.base.addresses import Address, Mac
from weftwork.base.tenancy import ProjectKey


class AttachmentKind(Enum):
    TAP = "tap"
    """A TAP device in the VPC's namespace, for a VMM."""
    NETNS = "netns"
    """A veth whose far end is in a network namespace that exists on the host."""
    REMOTE = "remote"
    """On another host, as the hosts that are not the port's see it: never stored."""
    ADOPTED = "adopted"
    """A link that the host had: of stacks only, never of projects."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where the port's frames go. `netns` and `interface` name the far end of a NETNS attachment.

    `host` is the host of the fleet that the port is on; empty for the server's own machine. Of a REMOTE attachment,
    `interface` is the device that leads there; of an ADOPTED one, what the link was called.
    """

    kind: AttachmentKind
    netns: str = ""
    interface: str = ""
    host: str = ""
    underlay: IPv4Address | None = None
    """Of a REMOTE attachment: where its host is."""


TAP = Attachment(AttachmentKind.TAP)


@dataclass(frozen=True, slots=True)
class Port:
    """`addresses` holds at most one per family, IPv4 first; `groups` are security group names, sorted.

    `vm` is empty while nobody uses the port; `attachment` is None then, and the host holds no device for it.
    `lender` is None in a subnet of the owner's, else the project whose subnet it is: there are the port's address, MAC
    and device. Its groups are the owner's anyway.
    """

    owner: ProjectKey
    id: str
    name: str
    subnet: str
    vm: str
    mac: Mac
    addresses: tuple[Address, ...]
    groups: tuple[str, ...]
    attachment: Attachment | None
    created_at: int
    lender: ProjectKey | None = None

    @property
    def home(self) -> ProjectKey:
        """The project whose VPC the port is in."""
        return self.lender or self.owner

    @property
    def device(self) -> str:
        """The name of the port's device on the host: 15 bytes, the longest Linux takes (IFNAMSIZ)."""
        if self.attachment and self.attachment.kind is AttachmentKind.REMOTE:
            return self.attachment.interface
        return "tap" + self.id.replace("-", "")[:12]
