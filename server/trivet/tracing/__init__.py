"""Traces: spans made of receipts when requests have ended, for an OpenTelemetry collector."""

from trivet.tracing.sampling import Sampler
from trivet.tracing.tracer import Tracer, TracerSettings

__all__ = ["Sampler", "Tracer", "TracerSettings"]
