"""Who owns a thing: an organisation and a project. Everything a tenant makes belongs to one."""

import re
from typing import NamedTuple

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Names are RFC 1123 labels: they go into keys, DNS and interface aliases unescaped."""


class ProjectKey(NamedTuple):
    """The tenant: one project has exactly one VPC, so this also names the VPC."""

    org: str
    project: str

    def __str__(self) -> str:
        return f"{self.org}/{self.project}"
