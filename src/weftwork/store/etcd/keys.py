"""Our part of etcd's keys: things below `k/`, the marks of commits below `m/`, and who leads in `leader`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    root: bytes

    @property
    def things(self) -> bytes:
        return self.root + b"k/"

    @property
    def marks(self) -> bytes:
        return self.root + b"m/"

    @property
    def leader(self) -> bytes:
        return self.root + b"leader"

    def of(self, key: str) -> bytes:
        return self.things + key.encode()

    def key(self, name: bytes) -> str:
        return name[len(self.things) :].decode()


def end_of(prefix: bytes) -> bytes:
    """The lowest bytes above all that start with `prefix`, which ends with UTF-8: 0xff is not in it."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
