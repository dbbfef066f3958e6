"""The hosts of a fleet."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

NO_FLEET = code(
    Kind.CONFLICT,
    "NO_FLEET",
    "No fleet here",
    "This server looks after no other hosts: it listens for no agents.",
    "Start `weft server` with `--agents-listen`; one machine alone needs no hosts.",
)
HOST_NOT_FOUND = code(
    Kind.UNKNOWN,
    "HOST_NOT_FOUND",
    "No such host",
    "The fleet has no host of this name.",
    "List them with `weft host list`.",
)
HOST_NOT_NAMED = code(
    Kind.INVALID,
    "HOST_NOT_NAMED",
    "No host named",
    "The server looks after a fleet, so a port is attached on one of its hosts, and none was named.",
    "Name one with `--host` (field `host`); create a port without a VM first, and attach it then.",
)
HOST_ALREADY_EXISTS = code(
    Kind.CONFLICT,
    "HOST_ALREADY_EXISTS",
    "Host exists",
    "The fleet has a host of this name, or one with this underlay address.",
    "Choose another name or address; for a new token of the same host, say `--again`.",
)
HOST_IN_USE = code(
    Kind.CONFLICT,
    "HOST_IN_USE",
    "Host in use",
    "Ports are plugged on the host.",
    "Plug them on another host, or unplug them, and try again.",
)
HOST_DRAINING = code(
    Kind.CONFLICT,
    "HOST_DRAINING",
    "Host is being drained",
    "No port is plugged on a host that is being drained.",
    "Choose another host, or end it with `weft host drain --undo`.",
)
JOIN_REFUSED = code(
    Kind.FORBIDDEN,
    "JOIN_REFUSED",
    "Join refused",
    "The token is not known, was used, or has expired; or the host's certificate is good for no host any more.",
    "Get a new token with `weft host add NAME --again`, and start the agent with it.",
)
AGENT_ALREADY_CONNECTED = code(
    Kind.CONFLICT,
    "AGENT_ALREADY_CONNECTED",
    "Agent already connected",
    "An agent with the same identity is connected, and answers.",
    "Stop one of the two: a host has one agent. After a lost connection, wait five seconds.",
)
