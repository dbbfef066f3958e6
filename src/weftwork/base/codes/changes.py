"""Changes of every noun: several as one, from files, undone again, repeated and followed."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

# Every noun.

IN_USE = code(
    Kind.IN_USE,
    "IN_USE",
    "Still in use",
    "Something depends on the object; the message and the details say what.",
    "Delete what depends on it first, or repeat the call with --cascade.",
)
TOO_MANY_CONFLICTS = code(
    Kind.CONFLICT,
    "TOO_MANY_CONFLICTS",
    "Too many conflicts",
    "Others kept changing the same objects while the call was being decided. Nothing was changed.",
    "Try again.",
)

# Several changes as one.

TOO_MANY_STEPS = code(
    Kind.INVALID,
    "TOO_MANY_STEPS",
    "Too many changes in one batch",
    "A batch is one transaction, and holds only so many changes.",
    "Make several batches of it; each of them is all or nothing.",
)
INVALID_BATCH = code(
    Kind.INVALID,
    "INVALID_BATCH",
    "Invalid batch",
    "A batch has no changes, an empty one, or a batch inside.",
    "Give it at least one change; put the changes of an inner batch into the outer one.",
)

# Project files.

INVALID_PROJECT_FILE = code(
    Kind.INVALID,
    "INVALID_PROJECT_FILE",
    "Invalid project file",
    "A file does not have the form of project files, or holds what they may not hold.",
    "Correct the line that the message names; `weft schema` prints the form, `weft export` an example.",
)
REPLACE_NEEDED = code(
    Kind.CONFLICT,
    "REPLACE_NEEDED",
    "Replacement needed",
    "What a file asks of an object cannot be had in place: it would have to be deleted and made again.",
    "See in the message what would be lost, then apply with --replace; or leave the object as it is.",
)

# Changes that undo themselves.

CONFIRMATION_NOT_FOUND = code(
    Kind.UNKNOWN,
    "CONFIRMATION_NOT_FOUND",
    "No such confirmation",
    "No change of the project waits, or waited lately, to be confirmed by that name; or the change changed nothing.",
    "See `weft confirm list`.",
)
CONFIRMATION_OVER = code(
    Kind.CONFLICT,
    "CONFIRMATION_OVER",
    "Confirmation over",
    "The change waits for nothing any more: it was undone, or that was tried.",
    "See `weft confirm list`, then make the change again.",
)
CONFIRMATION_EXISTS = code(
    Kind.EXISTS,
    "CONFIRMATION_EXISTS",
    "Confirmation exists",
    "Another change of the project is to be confirmed by that name.",
    "Choose another one, or let the server choose.",
)
INVALID_PROBE = code(
    Kind.INVALID,
    "INVALID_PROBE",
    "Invalid probe",
    "A probe is not understood.",
    "Write it as `from web1 to 10.1.0.5 tcp/443`, or `not from web1 to internet icmp`.",
)

# The history.

REVISION_NOT_KNOWN = code(
    Kind.UNKNOWN,
    "REVISION_NOT_KNOWN",
    "Revision not known",
    "The project's journal does not reach back to this revision, or has not come to it yet.",
    "`weft history` lists the revisions that are known.",
)
ROLLBACK_IMPOSSIBLE = code(
    Kind.CONFLICT,
    "ROLLBACK_IMPOSSIBLE",
    "Rollback impossible",
    "What the project had then cannot be had again: somebody else has it now, or it would stand on nothing.",
    "Go back to a later revision, or make the change by hand around what the message names.",
)

# Doing a thing once, and following what happens.

IDEMPOTENCY_KEY_REUSED = code(
    Kind.CONFLICT,
    "IDEMPOTENCY_KEY_REUSED",
    "Idempotency key used again",
    "The key stands for another request that was carried out in the last 24 hours.",
    "Make a new key for each new request, and send a key again only with the very same request.",
)
HISTORY_COMPACTED = code(
    Kind.CONFLICT,
    "HISTORY_COMPACTED",
    "History is gone",
    "What happened after the revision is not kept any more, or the revision is of another store.",
    "Watch from the beginning: without a revision one gets everything as it is now, and what changes from there.",
)
