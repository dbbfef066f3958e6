"""The Python SDK: everything the API does, as typed calls. The CLI and the tests use nothing else."""

from weftwork.client.client import Client, Mutation, Tls, reach_test_spec, resource_ref
from weftwork.client.errors import ApiError
from weftwork.client.rules import policy_rule, rule
from weftwork.client.sync import SyncClient

__all__ = [
    "ApiError",
    "Client",
    "Mutation",
    "SyncClient",
    "Tls",
    "policy_rule",
    "reach_test_spec",
    "resource_ref",
    "rule",
]
