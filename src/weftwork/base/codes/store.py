"""The store, and the programs behind it."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

OVN_CONNECTION_FAILED = code(
    Kind.UNAVAILABLE,
    "OVN_CONNECTION_FAILED",
    "OVN cannot be reached",
    "The server cannot connect to OVN's northbound database.",
    "Check the endpoint, and that ovsdb-server runs.",
)
STORE_UNAVAILABLE = code(
    Kind.UNAVAILABLE,
    "STORE_UNAVAILABLE",
    "Store unavailable",
    "The store is out of reach or full. Nothing was changed, or the change is not known to be durable.",
    "Try again; look at the server's log and at the free space of its disk.",
)
STORE_NOT_EMPTY = code(
    Kind.CONFLICT,
    "STORE_NOT_EMPTY",
    "Store not empty",
    "A store is moved into an empty one only: nothing is overwritten or mixed.",
    "Name another target, or empty this one.",
)
STORE_NOT_MOVED = code(
    Kind.CONFLICT,
    "STORE_NOT_MOVED",
    "Store not moved",
    "After the copy the two stores do not hold the same: somebody wrote meanwhile.",
    "Stop all servers over both stores, empty the target and do it again.",
)
STORE_LIMIT = code(
    Kind.UNAVAILABLE,
    "STORE_LIMIT",
    "Too large for the store",
    "The change is larger than etcd's members are told to take in one transaction. Nothing was changed.",
    "Start etcd with --max-txn-ops and --max-request-bytes as docs/howto/run-on-etcd.md says, or make smaller changes.",
)
TARGET_NOT_FOUND = code(
    Kind.UNKNOWN,
    "TARGET_NOT_FOUND",
    "No such target",
    "There is no host of this name, or the host has no such driver.",
    "See `weft target list`.",
)
