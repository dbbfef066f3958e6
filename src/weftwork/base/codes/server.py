"""The server and its doors."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

# The server.

NOT_READY = code(
    Kind.UNAVAILABLE,
    "NOT_READY",
    "Server not ready",
    "The server has started and still reads its store.",
    "Try again in a moment; the health service says when it is ready.",
)
TOO_MANY_CALLS = code(
    Kind.UNAVAILABLE,
    "TOO_MANY_CALLS",
    "Too many calls at once",
    "The server works on as many calls as it takes. Nothing was changed.",
    "Try again in a moment, with fewer calls in flight.",
)

# The REST door.

NO_SUCH_PATH = code(
    Kind.UNKNOWN,
    "NO_SUCH_PATH",
    "No such path",
    "Nothing is at this path, whoever asks.",
    "See /docs for the paths that there are.",
)
METHOD_NOT_ALLOWED = code(
    Kind.INVALID,
    "METHOD_NOT_ALLOWED",
    "Method not allowed",
    "The path is there, and does not take this method.",
    "Use one of the methods in the header Allow.",
)
NOT_ACCEPTABLE = code(
    Kind.INVALID,
    "NOT_ACCEPTABLE",
    "Not acceptable",
    "The caller accepts none of the media types that the answer comes in.",
    "Accept application/json; of a watch, text/event-stream.",
)
UNSUPPORTED_MEDIA_TYPE = code(
    Kind.INVALID,
    "UNSUPPORTED_MEDIA_TYPE",
    "Unsupported media type",
    "The body of the request is of a type that the call does not take.",
    "Send JSON, with Content-Type: application/json.",
)

REQUEST_TOO_SLOW = code(
    Kind.INVALID,
    "REQUEST_TOO_SLOW",
    "Request too slow",
    "The body of the request did not arrive in time.",
    "Send the body right behind the head of the request.",
)
CROSS_SITE = code(
    Kind.FORBIDDEN,
    "CROSS_SITE",
    "From another site",
    "A browser sent the request for a page of another site, or under a name that is not this server's.",
    "Open the server's own page, at localhost or at its address.",
)
