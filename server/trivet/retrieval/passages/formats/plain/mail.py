"""Mails: one, or a mailbox of them (mbox), by Python's own parser."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html import read_html
from trivet.retrieval.passages.formats.joined import JoinedDocument
from trivet.retrieval.passages.formats.sections import ParsedDocument, Section
from trivet.retrieval.passages.limits import DocumentLimits

_MOST_MAILS = 10_000
_MOST_PARTS = 1_000  # of a mail
_FROM = re.compile(rb"^From [^\r\n]*\r?\n", re.MULTILINE)
_SHOWN = ("From", "To", "Cc", "Date")
_LONGEST_HEADER = 1_000  # characters that are told of one


def read_mail(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """A section for each mail: who, to whom and when, then the text; attachments are named, not opened.

    Of a mail in plain text and HTML the plain text is read. Raises DocumentRejected.
    """
    mails = _mails(content)
    if len(mails) > _MOST_MAILS:
        raise DocumentRejected(f"it has {len(mails):,} mails, expected at most {_MOST_MAILS:,}")
    mailbox = JoinedDocument("mail", limits.characters)
    subject = ""
    for raw in mails:
        try:
            message = message_from_bytes(raw, policy=policy.default.clone(raise_on_defect=False))
            subject = _header(message, "Subject") or "(no subject)"
            mailbox.add(_parsed(message), subject)
        except RecursionError:
            raise DocumentRejected("its parts are nested too deeply") from None
    return mailbox.whole(subject if len(mails) == 1 else "")


def _mails(content: bytes) -> list[bytes]:
    """Those of a mailbox begin with a `From ` line, after an empty one; any other content is one mail."""
    if not content.startswith(b"From "):
        if b":" not in content[:1000].split(b"\n", 1)[0]:
            raise DocumentRejected("it is no mail: it does not begin with a header")
        return [content]
    begins = [
        found
        for found in _FROM.finditer(content)
        if found.start() == 0 or content.endswith((b"\n\n", b"\n\r\n"), 0, found.start())
    ]
    ends = [found.start() for found in begins[1:]] + [len(content)]
    return [content[found.end() : end] for found, end in zip(begins, ends, strict=True)]


def _parsed(message: EmailMessage) -> ParsedDocument:
    head = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    names = _attachments(message)
    if names:
        head.append(f"Attachments: {', '.join(names)}")
    body = _body(message)
    start = len("\n".join(head)) + 2 if head else 0
    text = "\n\n".join(filter(None, ("\n".join(head), body.text)))
    sections = []
    if head:
        first = body.sections[0] if body.sections and not body.sections[0].path else None
        end = start + first.start + len(first.text) if first is not None else len("\n".join(head))
        sections.append(Section((), text[:end]))
    rest = body.sections[1 if head and sections and body.sections and not body.sections[0].path else 0 :]
    sections += [Section(one.path, one.text, one.start + start, blocks=one.blocks) for one in rest]
    return ParsedDocument("", text, tuple(sections))


def _body(message: EmailMessage) -> ParsedDocument:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ParsedDocument("", "", ())
    text = _decoded(part).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    if part.get_content_type() == "text/html":
        return read_html(text)
    text = text.strip()
    return ParsedDocument("", text, (Section((), text),) if text else ())


def _decoded(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # an encoding that nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _attachments(message: EmailMessage) -> list[str]:
    names = []
    for number, part in enumerate(message.walk()):
        if number > _MOST_PARTS:
            raise DocumentRejected(f"a mail of it has more than {_MOST_PARTS:,} parts")
        if name := part.get_filename():
            names.append(" ".join(str(name).split())[:200])
    return names


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message.get(name, ""))
    except Exception:  # the parser of addresses stumbles over some
        value = ""
    text = value.encode("utf-8", "replace").decode("utf-8", "replace")
    return " ".join(text.replace("\0", "").split())[:_LONGEST_HEADER]
