"""grpc.health.v1 without its package: one method, with two messages that are empty or one number."""

from __future__ import annotations

CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # HealthCheckResponse {status: SERVING}: field 1, a varint, 1


def is_serving(answer: bytes) -> bool:
    """Whether a HealthCheckResponse says SERVING; the request for the whole server is empty."""
    return answer == _SERVING
