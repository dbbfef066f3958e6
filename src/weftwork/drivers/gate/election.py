"""Which of the seats of a gate is active. Pure: time and what was heard come in, what to be comes out.

Nobody takes over while he hears of an active one, by whichever way, and nobody who is active steps back for one that
has merely come again. Where two were apart and both active, the earlier seat stays when they hear each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Beat:
    """What a seat says of itself."""

    seat: int
    is_active: bool
    leaves: bool = False


@dataclass(slots=True)
class Election:
    """`seat` is ours; `seats` how many there are. `patience_s`: how long a silent one is thought to be there."""

    seat: int
    seats: int
    patience_s: float
    is_active: bool = False
    _heard: dict[int, tuple[float, Beat]] = field(default_factory=dict)
    _began_s: float | None = None

    def hear(self, beat: Beat, now_s: float) -> None:
        if beat.seat == self.seat or not 0 <= beat.seat < self.seats:
            return
        if beat.leaves:
            self._heard.pop(beat.seat, None)
        else:
            self._heard[beat.seat] = (now_s, beat)

    def decide(self, now_s: float) -> bool:
        """To be active or not, from now on."""
        if self._began_s is None:
            self._began_s = now_s
        present = self._present(now_s)
        earlier = [beat for beat in present if beat.seat < self.seat]
        if self.is_active:
            self.is_active = not any(beat.is_active for beat in earlier)
        else:
            has_listened = self.seats == 1 or now_s - self._began_s >= self.patience_s
            self.is_active = has_listened and not earlier and not any(beat.is_active for beat in present)
        return self.is_active

    def slept(self, now_s: float) -> None:
        """We were held up for longer than the others wait: somebody else may be active by now."""
        self.is_active = False
        self._began_s = now_s

    def _present(self, now_s: float) -> Sequence[Beat]:
        return [beat for heard_s, beat in self._heard.values() if now_s - heard_s < self.patience_s]
