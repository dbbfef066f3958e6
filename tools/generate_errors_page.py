#!/usr/bin/env python3
"""Makes docs/reference/errors.md from base/codes; tests/unit/api/test_errors_page.py says whether it is current."""

from pathlib import Path

from weftwork.api.errors import told
from weftwork.base.codes import ALL, Code

PAGE = Path(__file__).resolve().parents[1] / "docs/reference/errors.md"

HEAD = """# Errors

*Generated from `src/weftwork/base/codes` by `tools/generate_errors_page.py`: do not edit.*

Every refusal carries a stable **reason code** in `google.rpc.ErrorInfo.reason` (domain `weftwork`), a message that says
what was wrong, and in `metadata["hint"]` what to do. A code, once published, never changes its meaning. A refused call
has changed nothing.

Beside the code, `google.rpc.Status` may hold `BadRequest` (the field, such as `ingress_rules[2].source`),
`PreconditionFailure` (what depends on the object, one violation each), `ResourceInfo` (what was not found) and
`RetryInfo` (when to try again). `weft` prints all of it.

Two codes are not in the table, because they are not about the request:

* `INTERNAL` (`INTERNAL`): the server made a mistake. `metadata["request_id"]` finds it in the server's log.
* A request of more than 4 MiB is refused by gRPC itself, with `RESOURCE_EXHAUSTED` and no code of ours; from 1 MiB on
  it is `MESSAGE_TOO_LARGE`.

| code | gRPC status | HTTP | meaning | what to do |
|---|---|---|---|---|
"""


def row(code: Code) -> str:
    status = told(code.refusal(""))
    cells = (f"`{code.name}`", f"`{status.grpc.name}`", str(status.http.value), code.meaning, code.what_to_do)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page() -> str:
    return HEAD + "\n".join(row(ALL[name]) for name in sorted(ALL)) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
