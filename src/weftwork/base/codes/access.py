"""Who may, and how much."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

NOT_AUTHENTICATED = code(
    Kind.UNAUTHENTICATED,
    "NOT_AUTHENTICATED",
    "Not logged in",
    "The call does not say who makes it, or what says so is not valid, or is no longer.",
    "Log in with `weft login`, or give an API token with WEFT_TOKEN.",
)
ROLE_TOO_LOW = code(
    Kind.FORBIDDEN,
    "ROLE_TOO_LOW",
    "Role too low",
    "Who makes the call is known, and has not the role that it needs.",
    "Ask an administrator of the project for the role that the message names.",
)
IDENTITY_PROVIDER_UNAVAILABLE = code(
    Kind.UNAVAILABLE,
    "IDENTITY_PROVIDER_UNAVAILABLE",
    "Identity provider away",
    "The issuer of logins does not answer, and the server has no keys of it to check a login with.",
    "Try again in half a minute; the operator sees why in the server's log.",
)
TLS_REQUIRED = code(
    Kind.INVALID,
    "TLS_REQUIRED",
    "Needs TLS",
    "The server is told to listen where others than this machine reach it, and has no certificate.",
    "Set server.tls_certificate and server.tls_key, or listen on 127.0.0.1 or [::1].",
)
TLS_UNAVAILABLE = code(
    Kind.UNAVAILABLE,
    "TLS_UNAVAILABLE",
    "Unusable certificate",
    "The server's certificate, its key or the authority of its clients cannot be read, or do not fit each other.",
    "Correct the files that server.tls_certificate, server.tls_key and server.tls_client_ca name.",
)
TOKEN_NOT_FOUND = code(
    Kind.UNKNOWN,
    "TOKEN_NOT_FOUND",
    "No such token",
    "No API token of the project, or of the organisation, has this id.",
    "List them with `weft token list`.",
)
QUOTA_EXCEEDED = code(
    Kind.EXHAUSTED,
    "QUOTA_EXCEEDED",
    "Quota used up",
    "The project has as many as it may have; the details say of what, how many, and the limit.",
    "Delete what is not needed, or ask the operator for more: `weft quota show` says what there is.",
)
EXTERNAL_IP_NOT_ALLOWED = code(
    Kind.FORBIDDEN,
    "EXTERNAL_IP_NOT_ALLOWED",
    "External address not allowed",
    "The operator lets the project use some external addresses only, and not this one.",
    "Use one that the message lists, or leave it out to get one that is free.",
)
CIDR_NOT_ALLOWED = code(
    Kind.FORBIDDEN,
    "CIDR_NOT_ALLOWED",
    "Range not allowed",
    "The operator lets the project's VPC have some ranges only, and not this one.",
    "Use one inside those that the message lists, or leave it out.",
)
TOO_MANY_REQUESTS = code(
    Kind.THROTTLED,
    "TOO_MANY_REQUESTS",
    "Too many requests",
    "The tenant asks more often, or has more calls and watches going on, than the server lets one tenant.",
    "Wait a moment, and ask less often; what many calls read one by one, a list reads at once.",
)
