"""Ids that are UUIDs (RFC 9562, version 4), as texts."""


def uuid_of(dice: bytes) -> str:
    """Of 16 random bytes. `uuid.UUID` takes three times as long for the same text, and every port has one."""
    assert len(dice) == 16, "a UUID has 16 bytes"
    text = dice.hex()
    variant = "89ab"[dice[8] >> 4 & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
