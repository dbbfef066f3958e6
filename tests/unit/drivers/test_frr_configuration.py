"""bgpd's configuration, written and read back."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from weftwork.drivers.frr import configuration as lines
from weftwork.program.frr import BgpPeer, BgpRouter, EvpnVni

ASN = 65000
ROUTER = BgpRouter(ASN, IPv4Address("192.0.2.1"))
_peers = st.builds(
    BgpPeer, st.integers(2, 250).map(lambda last: IPv4Address(f"192.0.2.{last}")), st.just(ASN), st.booleans()
)
_vnis = st.builds(
    lambda own, whole: EvpnVni(own, (f"{ASN}:{own}",), (f"{ASN}:{own}", f"{ASN}:{whole}")),
    st.integers(1001, 2000),
    st.integers(500, 4000),
)
_held = st.lists(st.one_of(_peers, _vnis), max_size=8).map(lambda found: {one.key: one for one in found}.values())

AS_BGPD_SHOWS_IT = """
frr version 8.4.4
!
vrf weft-1001
 netns /run/frr/ns/weft-1001
exit-vrf
!
router bgp 65000
 bgp router-id 192.0.2.1
 no bgp default ipv4-unicast
 coalesce-time 50
 neighbor 192.0.2.11 remote-as 65000
 neighbor 192.0.2.11 bfd
 neighbor 192.0.2.11 timers 3 9
 neighbor 192.0.2.11 timers connect 1
 neighbor 192.0.2.12 remote-as 65000
 neighbor 192.0.2.12 bfd
 !
 address-family l2vpn evpn
  neighbor 192.0.2.11 activate
  neighbor 192.0.2.12 activate
  neighbor 192.0.2.12 route-reflector-client
  advertise-all-vni
  vni 1006
   route-target export 65000:1004
   route-target export 65000:1006
  exit-vni
  no dup-addr-detection
 exit-address-family
exit
"""


@given(_held)
def test_what_is_written_is_read_as_the_same(held: list[BgpPeer | EvpnVni]) -> None:
    assert set(lines.running(lines.text_of(ROUTER, held))) == {ROUTER, *held}


def test_a_target_that_bgpd_would_choose_itself_is_not_shown_and_is_there() -> None:
    assert set(lines.running(AS_BGPD_SHOWS_IT)) == {
        ROUTER,
        BgpPeer(IPv4Address("192.0.2.11"), ASN),
        BgpPeer(IPv4Address("192.0.2.12"), ASN, is_client=True),
        EvpnVni(1006, ("65000:1006",), ("65000:1006", "65000:1004")),
    }


def test_the_vpcs_target_is_said_before_the_subnets_own() -> None:
    """bgpd takes its own default for said already, and would forget it at the next one."""
    said = list(lines.vni_lines(EvpnVni(1006, ("65000:1006",), ("65000:1006", "65000:1004"))))

    assert said.index("route-target export 65000:1004") < said.index("route-target export 65000:1006")


def test_a_neighbour_without_its_family_shows_as_another_one() -> None:
    half = AS_BGPD_SHOWS_IT.replace("neighbor 192.0.2.11 activate", "")

    assert BgpPeer(IPv4Address("192.0.2.11"), ASN) not in set(lines.running(half))


def test_a_speaker_that_announces_nothing_shows_as_another_one() -> None:
    assert ROUTER not in set(lines.running(AS_BGPD_SHOWS_IT.replace("advertise-all-vni", "")))
