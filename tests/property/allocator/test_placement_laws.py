"""Laws of placement: who is chosen can; nobody is refused who could; the same question has the same answer."""

from hypothesis import given
from hypothesis import strategies as st

from weftwork.allocator.placement import VCPUS_FOR_CORE, Nowhere, Offer, Used, place
from weftwork.model.vm import Flavour, Placement

NAMES = ("", "h1", "h2", "h3")
LABELS = st.dictionaries(st.sampled_from(("disk", "zone")), st.sampled_from(("a", "b")), max_size=2)
OFFERS = st.lists(
    st.builds(
        Offer,
        st.sampled_from(NAMES),
        st.sampled_from(("amd64", "arm64")),
        st.integers(1, 4),
        st.sampled_from((512, 1024, 4096)),
        LABELS,
        st.sampled_from(("", "", "", "it is down")),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
FLAVOURS = st.builds(Flavour, st.integers(1, 8), st.sampled_from((256, 512, 1024)), st.just(64))
PLACEMENTS = st.builds(
    Placement,
    LABELS.map(lambda labels: tuple(sorted(labels.items()))),
    st.just(()),
    st.just(()),
    st.sampled_from(("", "amd64", "arm64")),
)
USED = st.dictionaries(st.sampled_from(NAMES), st.builds(Used, st.integers(0, 16), st.integers(0, 4096)), max_size=4)
HOSTS = st.frozensets(st.sampled_from(NAMES), max_size=2)


def can(offer: Offer, flavour: Flavour, placement: Placement, used: Used) -> bool:
    return (
        not offer.why_not
        and placement.architecture in ("", offer.architecture)
        and set(placement.labels) <= set(offer.labels.items())
        and used.memory_mib + flavour.memory_mib <= offer.memory_mib
        and used.vcpus + flavour.vcpus <= offer.cores * VCPUS_FOR_CORE
    )


@given(FLAVOURS, PLACEMENTS, OFFERS, USED, HOSTS, HOSTS)
def test_who_is_chosen_can_and_nobody_is_refused_who_could(
    flavour: Flavour,
    placement: Placement,
    offers: list[Offer],
    used: dict[str, Used],
    near: frozenset[str],
    apart: frozenset[str],
) -> None:
    found = place(flavour, placement, offers, used, near=near, apart=apart)
    able = {
        one.name
        for one in offers
        if can(one, flavour, placement, used.get(one.name, Used())) and near <= {one.name} and one.name not in apart
    }
    if isinstance(found, Nowhere):
        assert not able
        assert [name for name, why in found.reasons if why] == sorted(one.name for one in offers)
        assert str(found)
    else:
        assert found.name in able
    assert place(flavour, placement, reversed(offers), used, near=near, apart=apart) == found


def test_of_two_that_can_the_emptier_one_is_taken_and_of_two_alike_the_first() -> None:
    offers = [Offer("h2", "amd64", 4, 4096), Offer("h1", "amd64", 4, 4096)]
    first = place(Flavour(), Placement(), offers, {})
    second = place(Flavour(), Placement(), offers, {"h1": Used(1, 512)})
    assert isinstance(first, Offer) and first.name == "h1"
    assert isinstance(second, Offer) and second.name == "h2"


def test_it_says_of_each_host_why_it_cannot() -> None:
    offers = [
        Offer("h1", "amd64", 1, 256),
        Offer("h2", "arm64", 8, 9999),
        Offer("h3", "amd64", 8, 9999, why_not="it is drained"),
    ]
    found = place(Flavour(), Placement(architecture="amd64"), offers, {"h1": Used(0, 100)})
    assert str(found) == ("h1: 156 MiB of memory are left of 256; h2: it is arm64, not amd64; h3: it is drained")
