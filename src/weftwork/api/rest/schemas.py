"""JSON Schemas of messages, as `messages.py` reads and writes them."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from weftwork.api.rest.messages import AS_STRINGS, UINT32_MAX, UINT64_MAX, Json, enum_of, message_of
from weftwork.api.rest.requests import short_names
from weftwork.rpc import decode
from weftwork.rpc.generated.comments import COMMENTS

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ANY_CASE = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_REFERENCE = f"{_ANY_CASE}(/{_ANY_CASE}/{_ANY_CASE})?"

PATTERNS: Mapping[str, str] = {
    **dict.fromkeys(("org_id", "project_id", "name", "to_org", "to_project"), _LABEL),
    **dict.fromkeys(
        ("subnet_id", "port_id", "security_group_id", "security_group_ids", "network_policy", "reach_test_id"),
        _REFERENCE,
    ),
    **dict.fromkeys(("ip_address", "internal_ip"), _IPV4),
    "CreateVpcRequest.cidr": f"{_IPV4}/(8|9|1[0-9]|2[0-8])",
    "CreateSubnetRequest.cidr": f"{_IPV4}/(8|9|[12][0-9]|30)",
    "mac_address": "[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}",
}
"""What a text must look like, by `Message.field` or by the field's name alone. Whatever does not is refused."""
NEEDED: Mapping[str, tuple[str, ...]] = {
    "CreateSubnetRequest": ("name",),
    "CreateSecurityGroupRequest": ("name",),
    "CreateNetworkPolicyRequest": ("name", "policy_kind", "priority"),
    "CreatePeeringRequest": ("peer",),
    "CreateDnatRequest": ("external_port", "internal_ip", "protocol"),
    "AttachPortRequest": ("vm_id",),
    "PlugPortRequest": ("netns",),
    "ShareSubnetRequest": ("to",),
    "ExplainRequest": ("source", "destination", "protocol"),
    "ReachTestSpec": ("name", "must", "source", "destination", "service"),
    "SecurityRule": ("protocol", "source_type", "source"),
    "PolicyRule": ("action", "protocol"),
}
"""Fields without which a message is always refused."""


class Schemas:
    """Collects the messages that are spoken of, each once, for reading (`Port`) or for writing (`PortInput`)."""

    def __init__(self) -> None:
        self.components: Json = {}

    def written(self, message: Descriptor) -> Json:
        """As the server writes it: every field that has no presence is there."""
        if message.name not in self.components:
            self.components[message.name] = {}
            fields = {one.name: self._field(one, reading=False) for one in message.fields}
            schema = _object(fields, [one.name for one in message.fields if not one.has_presence])
            self.components[message.name] = _described(schema, message.full_name)
        return {"$ref": f"#/components/schemas/{message.name}"}

    def read(self, message: Descriptor) -> Json:
        """As the server takes it."""
        name = f"{message.name.removesuffix('Request')}Input"
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = _described(self.body(message, message.fields_by_name), message.full_name)
        return {"$ref": f"#/components/schemas/{name}"}

    def body(self, message: Descriptor, fields: Mapping[str, FieldDescriptor]) -> Json:
        """Some fields of a message."""
        needed = [name for name in NEEDED.get(message.name, ()) if name in fields]
        schema = _object({name: self._field(one, reading=True) for name, one in fields.items()}, needed)
        choices = [one for one in message.oneofs if len(one.fields) > 1]
        for choice in choices:
            names = [one.name for one in choice.fields]
            if set(names) == set(fields):
                return schema | {"minProperties": 1, "maxProperties": 1}
            pairs = [[one, other] for at, one in enumerate(names) for other in names[at + 1 :]]
            schema["allOf"] = [*schema.get("allOf", ()), *({"not": {"required": pair}} for pair in pairs)]
        if "update_mask" in message.fields_by_name:
            schema["minProperties"] = 1
        return schema

    def parameter(self, field: FieldDescriptor, *, in_path: bool) -> Json:
        """A word of a path, or a parameter of a query."""
        if in_path and field.enum_type is not None:
            return {"type": "string", "enum": list(short_names(field))}
        schema = self._one(field, reading=False, optional=not in_path)
        if field.type in AS_STRINGS:
            schema = {"type": "integer", "minimum": 0, "maximum": UINT64_MAX}
        if in_path and schema.get("type") == "string" and "pattern" not in schema:
            schema |= {"minLength": 1}
        return {"type": "array", "items": schema} if field.is_repeated else schema

    def _field(self, field: FieldDescriptor, *, reading: bool) -> Json:
        one = self._one(field, reading=reading, optional=reading and not _is_needed(field))
        if field.is_repeated:
            one = {"type": "array", "items": self._one(field, reading=reading, optional=False)}
            if reading:
                one["maxItems"] = decode.LIST_MAX
        return _described(one, field.full_name)

    def _one(self, field: FieldDescriptor, *, reading: bool, optional: bool) -> Json:
        match field.type:
            case FieldDescriptor.TYPE_MESSAGE:
                return self.read(message_of(field)) if reading else self.written(message_of(field))
            case FieldDescriptor.TYPE_BOOL:
                return {"type": "boolean"}
            case FieldDescriptor.TYPE_DOUBLE:
                return {"type": "number"}
            case FieldDescriptor.TYPE_UINT32:
                return {"type": "integer", "minimum": 0, "maximum": UINT32_MAX}
            case FieldDescriptor.TYPE_INT32:
                return {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
            case FieldDescriptor.TYPE_ENUM:
                return {"type": "string", "enum": [value.name for value in enum_of(field).values]}
            case FieldDescriptor.TYPE_STRING:
                return _text(field, reading=reading, optional=optional)
        return _whole_64(reading=reading)


def _whole_64(*, reading: bool) -> Json:
    text = {"type": "string", "pattern": "^-?[0-9]{1,20}$", "description": "A whole number of 64 bits, as a string"}
    if not reading:
        return text
    return {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": UINT64_MAX},
            {"type": "string", "pattern": "^[0-9]{1,19}$"},
        ]
    }


def _text(field: FieldDescriptor, *, reading: bool, optional: bool) -> Json:
    said = PATTERNS.get(f"{_of(field).name}.{field.name}") or PATTERNS.get(field.name)
    is_asked = _of(field).name.endswith("Request") or reading
    if not is_asked:
        return {"type": "string"}
    if said is None:
        return {"type": "string"} if optional else {"type": "string", "minLength": 1}
    return {"type": "string", "pattern": f"^({said})?$" if optional else f"^{said}$"}


def _of(field: FieldDescriptor) -> Descriptor:
    assert field.containing_type is not None
    return field.containing_type


def _is_needed(field: FieldDescriptor) -> bool:
    return field.name in NEEDED.get(_of(field).name, ())


def _object(fields: Json, required: Iterable[str]) -> Json:
    schema: Json = {"type": "object", "properties": fields, "additionalProperties": False}
    names = sorted(required)
    return schema | {"required": names} if names else schema


def _described(schema: Json, full_name: str) -> Json:
    said: Any = COMMENTS.get(full_name)
    return {**schema, "description": said} if said else schema
