"""Who is active: one, also when they come and go, and nobody whom another one hears as active is joined by him."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.drivers.gate.election import Beat, Election

PATIENCE_S = 0.15
BEAT_S = 0.05


class Pair:
    """Seats in virtual time. `apart`: they do not hear each other; `off`: has no power."""

    def __init__(self, seats: int = 2) -> None:
        self.now_s = 0.0
        self.apart = False
        self.off: set[int] = set()
        self.seats = [Election(seat, seats, PATIENCE_S) for seat in range(seats)]

    def beats(self, count: int) -> Iterator[list[int]]:
        """After each beat, who is active."""
        for _ in range(count):
            self.now_s += BEAT_S
            on = [one for one in self.seats if one.seat not in self.off]
            for one in on:
                one.decide(self.now_s)
            said = [Beat(one.seat, one.is_active) for one in on]
            for one in on if not self.apart else ():
                for beat in said:
                    one.hear(beat, self.now_s)
            yield self.active()

    def after(self, count: int) -> list[int]:
        return list(self.beats(count))[-1]

    def active(self) -> list[int]:
        return [one.seat for one in self.seats if one.is_active and one.seat not in self.off]

    def power(self, seat: int, *, on: bool) -> None:
        if on and seat in self.off:
            self.off.discard(seat)
            self.seats[seat] = Election(seat, len(self.seats), PATIENCE_S)
        elif not on:
            self.off.add(seat)


def test_the_first_seat_is_active_at_the_start() -> None:
    assert Pair().after(10) == [0]


def test_the_other_takes_over_within_the_patience_and_a_beat_and_keeps_it() -> None:
    pair = Pair()
    pair.after(10)
    pair.power(0, on=False)

    taken = [active == [1] for active in pair.beats(4)]

    assert taken[-1]
    pair.power(0, on=True)
    assert all(active == [1] for active in pair.beats(20)), "who comes again stands by"


def test_one_that_leaves_is_followed_at_the_next_beat() -> None:
    pair = Pair()
    pair.after(10)
    pair.seats[1].hear(Beat(0, False, leaves=True), pair.now_s)
    pair.power(0, on=False)

    assert pair.after(1) == [1]


def test_when_both_are_active_the_earlier_seat_stays_as_soon_as_they_hear_each_other() -> None:
    pair = Pair()
    pair.after(10)
    pair.apart = True
    assert pair.after(10) == [0, 1]

    pair.apart = False
    assert pair.after(2) == [0]


def test_one_that_was_held_up_stands_by_before_it_looks_around() -> None:
    pair = Pair()
    pair.after(10)
    pair.seats[0].slept(pair.now_s)

    assert not pair.seats[0].decide(pair.now_s)


@given(st.lists(st.tuples(st.sampled_from(("off", "on")), st.integers(0, 2), st.integers(1, 12)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_of_those_that_hear_each_other_never_two_are_active_and_in_the_end_one_is(story: list[tuple]) -> None:  # type: ignore[type-arg]
    pair = Pair(seats=3)
    for what, seat, beats in story:
        pair.power(seat, on=what == "on")
        assert all(len(active) <= 1 for active in pair.beats(beats))

    expected = 1 if len(pair.off) < 3 else 0
    assert len(pair.after(8)) == expected
