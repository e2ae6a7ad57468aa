"""vLLM plugin: a bound on thoughts costs the same at each token of an answer.

Where a request bounds its thoughts (`thinking_token_budget`), vLLM 0.32 looks at each step for the marks around them,
in all tokens from where the last thoughts ended, in Python: with 32 answers of 4,000 tokens that took 127 ms a step, in
which nobody got a token. What was looked through once without finding the mark has none, so that here only the last
tokens are looked through again: as many as a mark has, and as may be replaced by others (drafts, and what a step that
is under way will write).

vLLM calls `register` in every process of its own (entry point group `vllm.general_plugins`).
"""

from __future__ import annotations

from typing import Any

from trivet.vllm_plugin.versions import is_checked
from trivet.vllm_plugin.wrapping import wrapped_by, wraps

CHECKED_VERSIONS = ("0.32.0",)
REPLACED = 64  # tokens at the end of an answer that may be others at the next step


def register() -> None:
    """Wrap a method of the state of budgets, on a version that was checked."""
    if not is_checked(CHECKED_VERSIONS):
        return
    from vllm.v1.sample.thinking_budget_state import ThinkingBudgetStateHolder

    mend(ThinkingBudgetStateHolder)


def mend(holder: Any) -> None:
    """Wrap it once."""
    if not wrapped_by(holder._update_think_state, __name__):
        holder._update_think_state = wraps(_looking_on(holder._update_think_state), holder._update_think_state)


def _looking_on(update: Any) -> Any:
    """A mark is looked for while its place is -1, from `scan_offset` on."""

    def updated(self: Any, state: dict[str, Any]) -> None:
        update(self, state)
        marks = max(len(self.think_start_token_ids), len(self.think_end_token_ids))
        looked = len(state["output_tok_ids"]) - marks - max(REPLACED, self.num_spec_tokens)
        state["scan_offset"] = max(state["scan_offset"], looked)

    return updated
