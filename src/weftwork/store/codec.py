"""One revision's pairs as bytes and back: MessagePack, [[key, value or nil], …]."""

import msgspec

from weftwork.store.recent import Entry, Pair

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[Pair])


def decode_entry(revision: int, packed: bytes) -> Entry:
    return Entry(revision, _decoder.decode(packed), len(packed))
