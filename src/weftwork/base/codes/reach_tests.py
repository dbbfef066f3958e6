"""Reach tests."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

REACH_TEST_NOT_FOUND = code(
    Kind.UNKNOWN,
    "REACH_TEST_NOT_FOUND",
    "No such reach test",
    "The project has no reach test of this name or id.",
    "See `weft reach-test list`.",
)
REACH_TEST_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "REACH_TEST_ALREADY_EXISTS",
    "Reach test already exists",
    "The project has a reach test of this name that differs from the one asked for.",
    "Choose another name, or replace it with `weft reach-test apply`.",
)
INVALID_REACH_TEST = code(
    Kind.INVALID,
    "INVALID_REACH_TEST",
    "Invalid reach test",
    "A word of a reach test is not understood, or the two ends together make no question.",
    "Ends are port:NAME, group:NAME, subnet:NAME, an address, a CIDR or internet; services tcp/443, udp/53, icmp, all.",
)
TOO_MANY_REACH_TESTS = code(
    Kind.INVALID,
    "TOO_MANY_REACH_TESTS",
    "Too many reach tests",
    "A project has at most 200 reach tests.",
    "Name groups or subnets instead of single ports, so that one test says more.",
)
REACH_TEST_FAILS = code(
    Kind.CONFLICT,
    "REACH_TEST_FAILS",
    "Reach test fails now",
    "A reach test is stored only if it holds at that moment; the message names a packet that shows that it does not.",
    "Change the network or the test; or store it all the same with --override-reach-tests.",
)
REACH_TEST_FAILED = code(
    Kind.CONFLICT,
    "REACH_TEST_FAILED",
    "A reach test forbids it",
    "The change would make a reach test of the project fail; the message names the test and a packet that shows it. "
    "Nothing was changed.",
    "Make another change, change the test (`weft reach-test apply`), or repeat the call with --override-reach-tests.",
)
