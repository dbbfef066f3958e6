"""The Python SDK: everything the API does, as typed calls. The CLI and the tests use nothing else.

`Client` for programs with an event loop, `SyncClient` with the same methods for those without.
"""

from weftwork.client.client import (
    Client,
    Mutation,
    Tls,
    VmSize,
    reach_test_spec,
    resource_ref,
    vm_nic,
    vm_placement,
    vm_service,
)
from weftwork.client.errors import (
    ApiError,
    Conflict,
    Denied,
    Exhausted,
    HistoryCompacted,
    Invalid,
    NotAuthenticated,
    NotFound,
    TimeIsOver,
    Unavailable,
)
from weftwork.client.rules import policy_rule, rule
from weftwork.client.sync import SyncClient

AsyncClient = Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Conflict",
    "Denied",
    "Exhausted",
    "HistoryCompacted",
    "Invalid",
    "Mutation",
    "NotAuthenticated",
    "NotFound",
    "SyncClient",
    "TimeIsOver",
    "Tls",
    "Unavailable",
    "VmSize",
    "policy_rule",
    "reach_test_spec",
    "resource_ref",
    "rule",
    "vm_nic",
    "vm_placement",
    "vm_service",
]
