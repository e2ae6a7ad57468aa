"""What a review looks for. `owasp`: the entry of OWASP's Top 10 for LLM Applications 2025 that a rule serves, if any.

Only what files can tell is here: LLM03 (supply chain), LLM04 (poisoning), LLM06 (agency) and LLM08 (embeddings) are
matters of models, documents and tools, not of a prompt's text. https://genai.owasp.org/llm-top-10/
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType


class Severity(IntEnum):
    """How sure a rule is that something is wrong. Errors fail a review; warnings only where a caller is strict."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a review looks for."""

    name: str
    severity: Severity
    summary: str
    owasp: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What a rule found. `line`: of the prompt's file. `text`: what is wrong, and what was expected."""

    line: int
    rule: str
    text: str

    @property
    def severity(self) -> Severity:
        """Its rule's."""
        return RULES[self.rule].severity

    @property
    def owasp(self) -> str:
        """Its rule's."""
        return RULES[self.rule].owasp


_ALL = (
    Rule("secret", Severity.ERROR, "a password, key or token in the text", "LLM07"),
    Rule("invisible-text", Severity.ERROR, "characters that a reader cannot see and a model can", "LLM01"),
    Rule("example-form", Severity.ERROR, "an example's answer that the variant's JSON schema does not allow"),
    Rule("example-conflict", Severity.ERROR, "one question with two different answers among the examples"),
    Rule("uncached-text", Severity.WARNING, "static text behind a variable, which no request finds in the cache"),
    Rule("personal-data", Severity.WARNING, "an e-mail address, a card or a phone number", "LLM02"),
    Rule("internal-address", Severity.WARNING, "an address inside a company's network", "LLM07"),
    Rule("outside-text", Severity.WARNING, "a user's or a document's text among the instructions", "LLM01"),
    Rule("control-text", Severity.WARNING, "the spelling of a control token, which is ordinary text in a prompt file"),
    Rule("leftover-markup", Severity.WARNING, "a placeholder of another template language, or a mark left for later"),
    Rule("repeated-text", Severity.WARNING, "a sentence or an example that stands there twice"),
    Rule("long-prompt", Severity.WARNING, "static text that takes more than half of the model's context", "LLM10"),
    Rule("short-prefix", Severity.NOTE, "a prefix that is shorter than one block of the cache"),
    Rule("no-passage-rule", Severity.NOTE, "a search whose passages the prompt does not mention", "LLM09"),
    Rule("no-way-out", Severity.NOTE, "a search without a word of what to do if nothing is found", "LLM09"),
    Rule("no-form", Severity.NOTE, "a JSON schema in a variant whose prompt does not mention JSON"),
    Rule("secrecy", Severity.NOTE, "a prompt that trusts the model to keep something to itself", "LLM07"),
    Rule("active-output", Severity.NOTE, "an answer that somebody's browser, shell or database may act on", "LLM05"),
)  # fmt: skip
RULES = MappingProxyType({rule.name: rule for rule in _ALL})
