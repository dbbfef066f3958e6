"""A port: a tenant's attachment to a subnet, with its address, MAC and security groups (N §3.4)."""

from dataclasses import dataclass
from enum import Enum

from weftwork.base.addresses import Address, Mac
from weftwork.base.tenancy import ProjectKey


class AttachmentKind(Enum):
    TAP = "tap"
    """A TAP device in the VPC's namespace, for a VMM."""
    NETNS = "netns"
    """A veth whose far end is in a network namespace that exists on the host."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where the port's frames go. `netns` and `interface` name the far end of a NETNS attachment."""

    kind: AttachmentKind
    netns: str = ""
    interface: str = ""


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
        return "tap" + self.id.replace("-", "")[:12]
