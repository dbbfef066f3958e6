"""What a code is, and the registry of all of them."""

from dataclasses import dataclass

from weftwork.base.errors import Kind, Refusal


@dataclass(frozen=True, slots=True)
class Code:
    """`name` travels as `google.rpc.ErrorInfo.reason`; `what_to_do` is the hint unless the refusal has its own."""

    kind: Kind
    name: str
    title: str
    meaning: str
    what_to_do: str

    def refusal(self, message: str, *, hint: str = "", **details: str) -> Refusal:
        return Refusal(self.kind, self.name, message, hint=hint or self.what_to_do, details=details)


ALL: dict[str, Code] = {}


def code(kind: Kind, name: str, title: str, meaning: str, what_to_do: str) -> Code:
    assert name not in ALL, f"{name} is listed twice"
    ALL[name] = Code(kind, name, title, meaning, what_to_do)
    return ALL[name]
