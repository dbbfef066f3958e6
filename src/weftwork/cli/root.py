"""Puts the commands together."""

from collections.abc import Mapping

import click

from weftwork.cli.apply import apply, diff, export, schema
from weftwork.cli.audit import audit
from weftwork.cli.command import Command, LocalCommand, Root
from weftwork.cli.completion import completion
from weftwork.cli.conditions import wait, watch
from weftwork.cli.configuration import config
from weftwork.cli.confirm import confirm
from weftwork.cli.context import context
from weftwork.cli.debug import debug
from weftwork.cli.document import API_VERSION
from weftwork.cli.explain import explain
from weftwork.cli.flow import flow
from weftwork.cli.history import history, rollback
from weftwork.cli.host import host
from weftwork.cli.login import login, logout, whoami
from weftwork.cli.manual import man
from weftwork.cli.nat import dnat, snat
from weftwork.cli.network_policy import network_policy
from weftwork.cli.nic import nic
from weftwork.cli.output import is_text, print_data
from weftwork.cli.peering import peering
from weftwork.cli.port import port
from weftwork.cli.quota import quota
from weftwork.cli.reach_test import reach_test
from weftwork.cli.reference import reference
from weftwork.cli.router import router
from weftwork.cli.security_group import security_group
from weftwork.cli.settings import Output, current
from weftwork.cli.ssh_key import ssh_key
from weftwork.cli.stack import stack
from weftwork.cli.subnet import subnet
from weftwork.cli.target import leaks, target
from weftwork.cli.tcpdump import tcpdump
from weftwork.cli.token import token
from weftwork.cli.vm import vm
from weftwork.cli.vm_access import ssh_into
from weftwork.cli.vpc import vpc

_COMMANDS = (
    vpc,
    subnet,
    port,
    security_group,
    network_policy,
    snat,
    dnat,
    peering,
    reach_test,
    vm,
    ssh_key,
    ssh_into,
    apply,
    diff,
    export,
    schema,
    history,
    rollback,
    confirm,
    host,
    stack,
    nic,
    router,
    quota,
    token,
    audit,
    context,
    config,
    login,
    logout,
    whoami,
    target,
    leaks,
    flow,
    tcpdump,
    debug,
    explain,
    wait,
    watch,
    completion,
    man,
    reference,
)


def make_weft(local: Mapping[str, LocalCommand]) -> Root:
    """`weft`, with the commands of this machine beside those of the API."""
    root = Root(
        "weft",
        local=local,
        help="A self-hosted cloud network: isolated tenant networks on real kernels.\n\n"
        "Start with `weft up`, then `weft vpc create`. `weft NOUN VERB --help` shows examples.",
    )
    for command in (*_COMMANDS, version):
        root.add_command(command)
    return root


@click.command(cls=Command, examples=("weft version", "weft version -o json", "weft version -o name"))
def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        number = installed_version("weftwork")
    except PackageNotFoundError:
        number = "unknown"
    if current().output is Output.NAME:
        print(number)
    elif is_text():
        print(f"weft {number}")
    else:
        print_data({"apiVersion": API_VERSION, "kind": "Version", "version": number})
