"""Our UUIDs are those of the standard library."""

import random
import uuid

from weftwork.base.ids import uuid_of


def test_a_uuid_is_as_the_standard_library_writes_it() -> None:
    dice = random.Random(1)

    for _ in range(1000):
        drawn = dice.randbytes(16)
        assert uuid_of(drawn) == str(uuid.UUID(bytes=drawn, version=4))
