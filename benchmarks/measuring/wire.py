"""What benchmarks that speak gRPC themselves share: names of services, JSON as a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

INFERENCE = "trivet.api.v1.Inference"
ADMIN = "trivet.api.v1.Admin"


def schema_struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct
