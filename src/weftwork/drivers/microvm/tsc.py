"""The frequency of this processor's time stamp counter, measured: an emulated guest reads it and cannot measure it."""

import ctypes
import mmap
import time
from collections.abc import Callable

READ_COUNTER = bytes.fromhex("0f3148c1e2204809d0c3")  # rdtsc; shl rdx,32; or rax,rdx; ret


def tsc_khz(seconds: float = 0.1) -> int:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(READ_COUNTER)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    first_ns, first = reading(read)
    time.sleep(seconds)
    last_ns, last = reading(read)
    return round((last - first) * 1e6 / (last_ns - first_ns))


def reading(read: Callable[[], int]) -> tuple[int, int]:
    """(nanoseconds, ticks) of one instant: of many tries, the one that the scheduler disturbed least."""
    tries = []
    for _ in range(50):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        ticks = read()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        tries.append((after - before, (before + after) // 2, ticks))
    _, moment_ns, ticks = min(tries)
    return moment_ns, ticks
