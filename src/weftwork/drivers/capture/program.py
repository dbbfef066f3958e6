"""Filter expressions as the kernel runs them: classic BPF, made by tcpdump, which has libpcap's compiler.

The expression is one argument behind `--`: no shell sees it, and it is no option.
"""

import asyncio
import struct
from asyncio.subprocess import DEVNULL, PIPE

from weftwork.base import codes

EXPRESSION_MAX = 1000
INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS: more the kernel does not take."""
COMPILE_S = 3.0
"""A name in an expression is looked up, and whoever answers may be slow."""
_ONE = struct.Struct("HBBI")


async def compiled(expression: str, snap_length: int) -> bytes:
    """Refusals CAPTURE_FILTER_INVALID, CAPTURE_UNAVAILABLE."""
    if len(expression) > EXPRESSION_MAX or not expression.isprintable():
        raise _invalid(f"it has more than {EXPRESSION_MAX} characters, or what cannot be printed")
    command = ("tcpdump", "-ddd", "-y", "EN10MB", "-s", str(snap_length), "--", expression)
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except FileNotFoundError:
        raise codes.CAPTURE_UNAVAILABLE.refusal("the host has no tcpdump to compile a filter with") from None
    try:
        async with asyncio.timeout(COMPILE_S):
            out, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise _invalid(f"it was not compiled in {COMPILE_S:g} seconds: write addresses, not names") from None
    if process.returncode:
        raise _invalid(said.decode(errors="replace").strip().removeprefix("tcpdump: ")[:200])
    lines = out.decode().split("\n")[1:]
    program = [tuple(map(int, line.split())) for line in lines if line]
    if len(program) > INSTRUCTIONS_MAX:
        raise _invalid(f"it needs {len(program)} instructions, and {INSTRUCTIONS_MAX} fit")
    return b"".join(_ONE.pack(*one) for one in program)


def _invalid(what: str) -> Exception:
    return codes.CAPTURE_FILTER_INVALID.refusal(f"the filter is not understood: {what}", field="expression")
