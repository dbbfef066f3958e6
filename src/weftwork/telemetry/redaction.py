"""Takes secrets out of texts that leave the server by the side: logs, and what is handed to whoever helps.

Nothing of ours writes a secret there. This is the net below: what somebody else's error says may hold one.
"""

import re

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


def without_secrets(text: str) -> str:
    return _SECRETS.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    return next((part for part in found.groupdict().values() if part), "") + GONE
