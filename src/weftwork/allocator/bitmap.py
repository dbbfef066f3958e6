"""A set of numbers as bits, in pieces: the next free one is found fast in a full /16 and in an empty /64 alike."""

_PIECE_BITS = 1024
_FULL = (1 << _PIECE_BITS) - 1


class Bitmap:
    """Numbers from 0 up. Adding and discarding cost the same whatever the size."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[int, int] = {}

    def copy(self) -> "Bitmap":
        other = Bitmap()
        other._pieces = self._pieces.copy()
        return other

    def __contains__(self, number: int) -> bool:
        return self._pieces.get(number // _PIECE_BITS, 0) >> (number % _PIECE_BITS) & 1 == 1

    def __len__(self) -> int:
        return sum(piece.bit_count() for piece in self._pieces.values())

    def add(self, number: int) -> None:
        index = number // _PIECE_BITS
        self._pieces[index] = self._pieces.get(index, 0) | 1 << (number % _PIECE_BITS)

    def discard(self, number: int) -> None:
        index = number // _PIECE_BITS
        left = self._pieces.get(index, 0) & ~(1 << (number % _PIECE_BITS))
        if left:
            self._pieces[index] = left
        else:
            self._pieces.pop(index, None)

    def first_free(self, start: int, end: int) -> int | None:
        """The lowest number in [start, end) that is not in the set."""
        while start < end:
            index, offset = divmod(start, _PIECE_BITS)
            free = ~self._pieces.get(index, 0) & _FULL & -1 << offset
            if free:
                lowest = index * _PIECE_BITS + (free & -free).bit_length() - 1
                return lowest if lowest < end else None
            start = (index + 1) * _PIECE_BITS
        return None

    def next_free(self, after: int, start: int, end: int) -> int | None:
        """The first number of [start, end) behind `after` that is not in the set, going round at the end."""
        behind = self.first_free(max(start, after + 1), end)
        return behind if behind is not None else self.first_free(start, min(end, after + 1))
