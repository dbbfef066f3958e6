"""One machine, one agent: a second would take the first one's networks for strays."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weftwork.testing.node import Node


def test_a_second_agent_is_refused_and_nothing_happens_to_the_first_ones_guests(
    tenant: Callable, tmp_path: Path
) -> None:
    guests = tenant()
    one, two = guests.boot("one"), guests.boot("two")

    with pytest.raises(RuntimeError, match="ALREADY_RUNNING: another weft up looks after this machine"):
        Node(tmp_path).start()

    assert one.ping(two.address)


def test_down_over_another_store_takes_nothing_away(tenant: Callable, tmp_path: Path) -> None:
    guests = tenant()
    one, two = guests.boot("one"), guests.boot("two")

    with pytest.raises(RuntimeError, match="ALREADY_RUNNING"):
        Node(tmp_path).down()

    assert one.ping(two.address)
