"""Links as they are now, by name: for whoever asks how a stack's are, or which of the host's there are."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import namespaces, scope_state
from weftwork.drivers.linux.links_decode import Link
from weftwork.drivers.linux.netlink import Socket
from weftwork.seams.stacks import LinkSeen, LinkState


def links_in(netns: str, names: Iterable[str]) -> Mapping[str, LinkSeen]:
    """Those that are there and ours; the threads of a driver are not needed for reading."""
    return {
        name: LinkSeen(name, one.index, LinkState.UP if one.up else LinkState.DOWN)
        for name, one in _found(netns, names).items()
        if one.is_ours
    }


def free_link(name: str) -> str | None:
    """The MAC of a link in the host's own namespace that is not ours."""
    there = _found("", [name]).get(name)
    return str(there.mac) if there is not None and not there.is_ours else None


def _found(netns: str, names: Iterable[str]) -> Mapping[str, Link]:
    asked = [name for name in names if 0 < len(name.encode()) <= wire.NAME_BYTES_MAX]
    try:
        with ExitStack() as stack:
            if netns:
                stack.enter_context(namespaces.inside(stack.enter_context(namespaces.opened(netns))))
            answers = stack.enter_context(Socket()).exchange([wire.look_up(name) for name in asked])
    except (OSError, ValueError):
        return {}
    links = zip(asked, map(scope_state.found_link, answers), strict=True)
    return {name: link for name, link in links if link is not None}
