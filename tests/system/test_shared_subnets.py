"""Guests of one project in the subnet of another: the lender's network, the borrower's groups."""

from collections.abc import Callable
from contextlib import closing

import grpc
import pytest

from weftwork.client.errors import ApiError
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest
from weftwork.testing.internet import Internet

SILENCE_S = 0.3
ANYWHERE = "0.0.0.0/0"


@pytest.mark.stock
def test_a_guest_in_a_shared_subnet_obeys_the_groups_of_its_own_project(tenant: Callable, cloud: Cloud) -> None:
    net, shop = tenant("10.30.0.0/16"), tenant("10.30.0.0/16")
    cloud.share(net.project, "default", shop.project)
    cloud.group(net.project, "web", ingress=[allow("tcp", 80, ANYWHERE)], egress=[allow("all", None, ANYWHERE)])
    cloud.group(
        shop.project,
        "web",
        ingress=[allow("tcp", 81, ANYWHERE), allow("tcp", 82, "web")],
        egress=[allow("all", None, ANYWHERE)],
    )
    own = net.boot("own", groups=("web",))
    lent = f"{net.project}/default"
    one, two = (shop.boot(name, subnet=lent, groups=("web",)) for name in ("one", "two"))
    for guest in (own, one, two):
        guest.serve(tcp=[80, 81, 82])
    assert one.address.startswith("10.30.0.") and len({own.address, one.address, two.address}) == 3

    assert one.tcp(own.address, 80) and own.tcp(one.address, 81)
    assert one.tcp(own.address, 81, timeout_s=SILENCE_S) is None, (
        "the lender's group has the same name, and judges its own"
    )
    assert own.tcp(one.address, 80, timeout_s=SILENCE_S) is None, "the lender's rules do not judge the borrower's guest"
    assert one.tcp(two.address, 82), "rules by a group of one's own project match one's own ports there"
    assert own.tcp(one.address, 82, timeout_s=SILENCE_S) is None, "a group of the same name is another"

    with closing(one.connect(two.address, 82)) as flow:
        assert flow.echo()
        cloud.remove_rules(shop.project, "web", ingress=[allow("tcp", 82, "web")])
        assert not flow.echo(timeout_s=SILENCE_S), "a flow outlived a rule of the borrower's"
    assert own.tcp(one.address, 81)


def test_the_borrowers_own_vpc_stays_apart_and_the_way_out_is_the_lenders(
    tenant: Callable, cloud: Cloud, internet: Internet
) -> None:
    net, shop = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    cloud.share(net.project, "default", shop.project)
    for one in (net, shop):
        cloud.group(one.project, "open", ingress=[allow("all", None, ANYWHERE)], egress=[allow("all", None, ANYWHERE)])
    home = shop.boot("home", groups=("open",))
    abroad = shop.boot("abroad", subnet=f"{net.project}/default", groups=("open",))
    for guest in (home, abroad):
        guest.serve(tcp=[80])

    assert abroad.tcp(home.address, 80, timeout_s=SILENCE_S) is None
    assert home.tcp(abroad.address, 80, timeout_s=SILENCE_S) is None
    assert abroad.tcp(Internet.SERVER, 80, timeout_s=SILENCE_S) is None
    cloud.snat(net.project)
    assert abroad.tcp(Internet.SERVER, 80)
    assert home.tcp(Internet.SERVER, 80, timeout_s=SILENCE_S) is None

    for one, other in ((net, shop), (shop, net)):
        cloud.peer(one.project, other.project)
    assert abroad.tcp(home.address, 80) and home.tcp(abroad.address, 80)


def test_nothing_is_taken_from_under_a_borrower_and_nothing_is_left_of_it(tenant: Callable, cloud: Cloud) -> None:
    net, shop = tenant("10.30.0.0/16"), tenant("10.30.0.0/16")
    lent = f"{net.project}/default"
    with pytest.raises(ApiError) as refused:
        shop.boot("early", subnet=lent)
    assert refused.value.code is grpc.StatusCode.NOT_FOUND
    cloud.share(net.project, "default", shop.project)
    guest: Guest = shop.boot("guest", subnet=lent)
    device = cloud.port_info(shop.project, "guest").device
    assert device in "".join(cloud.target().observed) and guest.ping("10.30.0.1", tries=3)

    with pytest.raises(ApiError) as in_use:
        cloud.unshare(net.project, "default", shop.project)
    assert in_use.value.reason == "IN_USE" and "guest" not in in_use.value.message
    cloud.delete_port(shop.project, "guest")
    cloud.unshare(net.project, "default", shop.project)
    left = "".join(cloud.target().observed)
    assert device not in left and shop.project.replace("/", ".") not in left
    assert cloud.drift() == []
