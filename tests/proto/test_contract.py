"""What was published stays: fields, enum values and methods of the released contract still mean the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
RELEASED = Path(__file__).parent / "released.binpb"  # made anew at each release: `python tests/proto/test_contract.py`


def compiled(target: Path) -> descriptor_pb2.FileDescriptorSet:
    """The contract as it stands in the tree."""
    protos = sorted(str(path) for path in (ROOT / "proto").rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    options = [f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--descriptor_set_out={target}"]
    assert protoc.main(["protoc", *options, *protos]) == 0
    return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())


def facts(files: descriptor_pb2.FileDescriptorSet) -> set[str]:
    """Each thing that a client may rely on, as a line."""
    found: set[str] = set()
    for file in files.file:
        for message in file.message_type:
            found |= set(_message_facts(f"{file.package}.{message.name}", message))
        for enum in file.enum_type:
            found |= {f"{file.package}.{enum.name}: {value.name} = {value.number}" for value in enum.value}
        for service in file.service:
            for method in service.method:
                streams = f"{'stream ' if method.client_streaming else ''}{method.input_type} -> "
                streams += f"{'stream ' if method.server_streaming else ''}{method.output_type}"
                found.add(f"{file.package}.{service.name}.{method.name}: {streams}")
    return found


def _message_facts(name: str, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        yield f"{name}: {field.number} {field.name} {field.type} {field.type_name} {field.label} {oneof}"
    for nested in message.nested_type:
        yield from _message_facts(f"{name}.{nested.name}", nested)


def test_nothing_that_was_released_is_gone(tmp_path: Path) -> None:
    released = descriptor_pb2.FileDescriptorSet.FromString(RELEASED.read_bytes())
    assert sorted(facts(released) - facts(compiled(tmp_path / "now.binpb"))) == []


def test_a_changed_type_a_renamed_field_and_a_dropped_method_are_caught(tmp_path: Path) -> None:
    now = compiled(tmp_path / "now.binpb")
    broken = descriptor_pb2.FileDescriptorSet()
    broken.CopyFrom(now)
    file = next(item for item in broken.file if item.name.endswith("inference.proto"))
    message = next(item for item in file.message_type if item.name == "GenerateRequest")
    message.field[0].name = "path"
    message.field[3].type = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
    del file.service[0].method[0]
    lost = facts(now) - facts(broken)
    assert len(lost) == 3
    assert any("GenerateRequest: 1 route" in line for line in lost)


if __name__ == "__main__":
    compiled(RELEASED)
