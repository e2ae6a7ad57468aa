"""What must not stand in a prompt: whoever talks to a model long enough may get its prompt (OWASP LLM07)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trivet.excerpt import masked
from trivet.prompts.review.located_text import static_texts
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import PromptSource
from trivet.types.text.personal_data import find_personal_data

# Those that guess by entropy say yes to words, and a public address is none of a company's secrets.
_NOT_FOR_PROSE = frozenset({"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector", "KeywordDetector"})
_NAMED = re.compile(
    r"(?i)\b(?:password|passphrase|passwd|secret|token|(?:api|access)[ _-]?key|bearer)\b[\"']?\s{0,3}(?:is|:|=)\s{0,3}"
    r"[\"']?(?P<value>[^\s\"',;]{6,200})"
)
_INTERNAL = re.compile(
    r"(?<![\w.])(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\w.]*\d)"
    r"|\b(?:[a-z0-9-]{1,63}\.){1,6}(?:internal|intranet|corp|lan|local)\b(?!\.\w)"
    r"|\b[a-z0-9-]{1,63}\.svc\.cluster\.local\b"
)
_KINDS = {"email": "an e-mail address", "card": "a card number", "phone": "a phone number"}


def private_findings(prompt: PromptSource) -> Iterator[Finding]:
    """Secrets, what identifies a person, and addresses inside a network. Never quotes what it found."""
    for text in static_texts(prompt):
        for line, said in text.lines():
            if kind := _secret(said):
                told = f"{kind}: a user can make a model say its prompt; expected none, and a new one where it is used"
                yield Finding(line, "secret", told)
        for found in find_personal_data(text.text):
            told = f"{_KINDS[found.kind]}, expected none, unless everybody may have it"
            yield Finding(text.line_at(found.start), "personal-data", told)
        for address in _INTERNAL.finditer(text.text):
            told = "an address inside a network, which a model may tell, expected none"
            yield Finding(text.line_at(address.start()), "internal-address", told)


def _secret(line: str) -> str | None:
    """What kind of secret stands in a line, if one does."""
    known = _known_secret(line)
    if known is not None:
        return f"it looks like a secret ({known})"
    if any(any(map(str.isdigit, found["value"])) for found in _NAMED.finditer(line)):
        return "a value that is called a password, a key or a token"
    return "letters and digits that look drawn by chance" if masked(line) != line else None


def _known_secret(line: str) -> str | None:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # here, since few commands look
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import transient_settings

    kinds: list[type] = list(get_mapping_from_secret_type_to_class().values())
    names = sorted(kind.__name__ for kind in kinds)
    plugins = [{"name": name} for name in names if name not in _NOT_FOR_PROSE]
    with transient_settings({"plugins_used": plugins}):
        return next((str(secret.type) for secret in scan_line(line)), None)
