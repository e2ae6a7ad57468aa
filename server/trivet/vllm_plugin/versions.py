"""The version of vLLM that runs: what a plugin changes was checked for some of them alone."""

from __future__ import annotations

from collections.abc import Collection


def running() -> str:
    """vLLM's version, without what a build adds to it."""
    import vllm

    return str(vllm.__version__).partition("+")[0]


def is_checked(versions: Collection[str]) -> bool:
    """vLLM is of one of these versions."""
    return running() in versions


def is_checked_cpu(versions: Collection[str]) -> bool:
    """The same, and runs on a CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu()) and is_checked(versions)
