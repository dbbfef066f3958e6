"""What goes to the kernel in one send: a kill can come between two sends, never within one."""

from weftwork.base.addresses import Mac
from weftwork.drivers.linux import links, netlink
from weftwork.program.linux import Bridge


def test_a_link_and_its_mark_are_in_one_send_however_many_links_there_are() -> None:
    requests = [
        request
        for number in range(2000)
        for request in links.create(
            Bridge("weft-1", f"br{number}", Mac("02:47:00:00:00:01"), 1500), links.Place(100 + number)
        )
    ]
    chunks = list(netlink._chunks(requests))
    assert len(chunks) > 3
    assert [one for chunk in chunks for one in chunk] == requests
    assert not [chunk for chunk in chunks if chunk[-1].flags & netlink.EXCL], "a link without a mark"
    assert max(sum(len(one.body) for one in chunk) for chunk in chunks) < 2 * netlink._CHUNK_BYTES
