"""Takes secrets out of texts that leave the server by the side: logs, and what is handed to whoever helps.

Nothing of ours writes a secret there. This is the net below: what somebody else's error says may hold one.
"""

import re
from functools import lru_cache

GONE = "[removed]"
_SECRETS = re.compile(
    r"(?P<token>weft_[0-9a-f]{12}_)[A-Za-z0-9_\-]+"
    r"|(?P<scheme>\b(?:[Bb]earer|[Bb]asic)\s+)[A-Za-z0-9._~+/=\-]{8,}"
    r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"
    r"|(?P<user>\b[a-z][a-z0-9+.\-]*://[^\s/:@]*:)[^\s@/]+(?=@)"
    r"|(?P<name>\b(?:password|passwd|secret|private[_-]?key|access[_-]?token|client[_-]?secret)[\"']?\s*[=:]\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&}\"']+)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)


_SHORT = 120
"""Of what is said again and again, such as the names of calls and callers, the answer is kept."""


def without_secrets(text: str) -> str:
    return _without(text) if len(text) <= _SHORT else _SECRETS.sub(_kept, text)


@lru_cache(maxsize=2048)
def _without(text: str) -> str:
    return _SECRETS.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    kept = next((part for part in found.groupdict().values() if part), "")
    quote = found[0][-1]
    is_quoted = bool(found["name"]) and quote in "\"'" and found[0].removeprefix(kept).startswith(quote)
    return f"{kept}{quote}{GONE}{quote}" if is_quoted else kept + GONE
