"""Which requests are traced."""

from __future__ import annotations

import pytest

from trivet.tracing import Sampler
from trivet.types.request import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_what_the_caller_decided_holds_whatever_the_share() -> None:
    for share in (0.0, 1.0):
        sampler = Sampler(share)
        assert sampler.begin(f"00-{TRACE}-{SPAN}-01") == TraceContext(TRACE, SPAN, True)
        assert sampler.begin(f"00-{TRACE}-{SPAN}-00") == TraceContext(TRACE, SPAN, False)
        assert sampler.begin(f"00-{TRACE}-{SPAN}-03") == TraceContext(TRACE, SPAN, True)
        assert sampler.begin(f"cc-{TRACE}-{SPAN}-01-what-comes-later") == TraceContext(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-zz",
        "x" * 1000,
    ],
)
def test_a_header_that_is_none_is_as_if_it_were_absent(header: str) -> None:
    assert Sampler(0.0).begin(header) is None
    begun = Sampler(1.0).begin(header)
    assert begun is not None
    assert (begun.parent_id, begun.sampled) == ("", True)
    assert begun.trace_id != TRACE


def test_a_share_of_the_others() -> None:
    sampler = Sampler(0.25)
    begun = [sampler.begin(None) for _ in range(8000)]
    traced = [one for one in begun if one is not None]
    assert 1700 < len(traced) < 2300
    assert len({one.trace_id for one in traced}) == len(traced)
