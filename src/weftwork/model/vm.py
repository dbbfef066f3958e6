"""A VM as its tenant asks for it: an image, a size, places in the network; and whether it is to run."""

from dataclasses import dataclass
from enum import Enum

from weftwork.base.tenancy import ProjectKey


class Restart(Enum):
    """What becomes of its command, and of its machine, when they end by themselves."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Flavour:
    vcpus: int = 1
    memory_mib: int = 512
    disk_mib: int = 2048


@dataclass(frozen=True, slots=True)
class Service:
    """A port that the VM answers on; one that is not private is open to everybody who reaches the VPC."""

    name: str
    port: int
    protocol: str
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Which host it may be on. `near` and `apart_from` name VMs of the project."""

    labels: tuple[tuple[str, str], ...] = ()
    near: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Vm:
    """`ports` are the ids of its ports, which come and go with it; `group` is the security group of its public
    services, empty without one.

    `digest` is the manifest's of `image`, once that was fetched. `public_keys` are whole ones that it came with;
    `authorized_keys` are these and the texts of `ssh_keys` as they were at the last start. `run` counts how often it
    was told to start. `host` is a host of the fleet; empty for the server's own machine.
    """

    owner: ProjectKey
    name: str
    id: str
    image: str
    flavour: Flavour
    ports: tuple[str, ...]
    created_at: int
    digest: str = ""
    group: str = ""
    ssh_keys: tuple[str, ...] = ()
    public_keys: tuple[str, ...] = ()
    authorized_keys: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    services: tuple[Service, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    restart: Restart = Restart.ON_FAILURE
    placement: Placement = Placement()
    is_started: bool = True
    run: int = 1
    host: str = ""
