"""What was just encoded is not parsed again, and is never taken for another thing with the same bytes."""

from weftwork.actions import fresh, rows
from weftwork.base.tenancy import ProjectKey
from weftwork.model.peering import Peering

RED, BLUE, GREEN = (ProjectKey("acme", name) for name in ("red", "blue", "green"))


def half(owner: ProjectKey, peer: ProjectKey) -> Peering:
    return Peering(owner, "p", peer, 7)


def test_what_was_just_encoded_is_known_again() -> None:
    made = half(RED, BLUE)
    value = fresh.encoded(made)

    assert fresh.decoded(rows.key_of(made), value) is made
    assert fresh.looked_at(rows.key_of(made), value) is made


def test_the_same_bytes_under_another_key_are_another_thing() -> None:
    """Who a thing belongs to is said by its key; the ids inside its row are for readers."""
    value = fresh.encoded(half(RED, BLUE))

    for other in (half(RED, GREEN), half(GREEN, BLUE)):
        key = rows.key_of(other)
        assert fresh.decoded(key, value) == fresh.looked_at(key, value) == rows.decode(key, value) == other


def test_whoever_keeps_a_thing_has_its_project_named_by_one_object() -> None:
    value = fresh.encoded(half(RED, BLUE))
    mine = ProjectKey(*RED)
    key = rows.key_of(half(mine, BLUE))

    assert fresh.decoded(key, value).owner is mine


def test_no_more_is_remembered_than_is_written_at_a_time() -> None:
    for number in range(fresh.REMEMBERED + 1):
        fresh.encoded(Peering(RED, f"p{number}", BLUE, 7))

    assert len(fresh._made) <= fresh.REMEMBERED
