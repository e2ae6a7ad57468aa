"""What a Struct loses of a schema is put back: integers, and an order of properties."""

from __future__ import annotations

import itertools
from typing import Any

from google.protobuf import struct_pb2

from trivet.rpc.request.json_schema import schema_from_struct

NAMES = ("found", "answer", "reason", "aside")


def struct(names: tuple[str, ...], required: list[str]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    properties = {name: {"type": "string", "maxLength": 5} for name in names}
    inner: dict[str, Any] = {"type": "object", "properties": properties}
    made.update({**inner, "required": required, "$defs": {"one": {**inner, "required": required[::-1]}}})
    return made


def test_properties_come_as_required_names_them_and_then_by_name() -> None:
    for names in itertools.permutations(NAMES):
        schema = schema_from_struct(struct(names, ["found", "answer"]))
        assert list(schema["properties"]) == ["found", "answer", "aside", "reason"]
        assert list(schema["$defs"]["one"]["properties"]) == ["answer", "found", "aside", "reason"]
        assert schema["required"] == ["found", "answer"]
        assert isinstance(schema["properties"]["found"]["maxLength"], int)


def test_properties_that_are_called_like_keywords_stay_what_they_are() -> None:
    made = struct_pb2.Struct()
    made.update({"properties": {"required": {"type": "string"}, "properties": {"type": "number"}}, "required": ["x"]})
    assert list(schema_from_struct(made)["properties"]) == ["properties", "required"]
