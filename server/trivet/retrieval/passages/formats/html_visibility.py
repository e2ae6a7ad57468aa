"""What of a page is not its text: what is hidden, and what surrounds the text on every page of a site."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_NEVER = frozenset(
    (
        "audio", "canvas", "datalist", "iframe", "nav", "noscript", "object", "script", "select", "style", "svg",
        "template", "video",
    )
)  # fmt: skip
_SECTIONING = frozenset(("article", "aside", "main", "nav", "section"))
_PAGE_PARTS = frozenset(("header", "footer", "aside"))  # of the page, not of an article in it (HTML-AAM, section 3.5)
_LEFT_OUT_ROLES = frozenset(
    (
        "alertdialog", "banner", "complementary", "contentinfo", "dialog", "menu", "menubar", "navigation", "search",
        "toolbar", "tooltip",
    )
)  # fmt: skip
_SECTIONING_ROLES = frozenset(("article", "main", "region"))
_UNSEEN = re.compile(r"display:none|visibility:(?:hidden|collapse)")
_NOTICE = re.compile(
    r"\b(?:cookie|gdpr|consent)[-_]?(?:banner|bar|box|consent|dialog|law|message|modal|notice|overlay|popup|wall)s?\b"
)
# Links to other pages of a manual, as DocBook, Texinfo and Bootstrap call them.
_BAR = re.compile(r"(?:^|\s)(?:nav[-_]?(?:header|footer|bar|panel)|breadcrumbs?)(?:\s|$)")
_CONTENTS = re.compile(r"(?:^|\s)(?:toc|table-of-contents|toctree-wrapper)(?:\s|$)")
_WHOLE = frozenset(("html", "body", "main", "article"))  # of which a class tells how they look, not what they are
_SKIP_LINK = re.compile(r"\bskip[-_]?(?:link|nav|to)")
_NOTICE_IDS = frozenset(("onetrust-consent-sdk", "cybotcookiebotdialog", "usercentrics-root", "cookie-law-info-bar"))
_PART_TAG = re.compile(r"<(/?)(nav|header|footer|aside)\b", re.IGNORECASE)
_MOST_LOOKED_AT = 500  # characters of an attribute


def is_sectioning(tag: str, attributes: Mapping[str, str]) -> bool:
    """Whether a header or a footer inside of it is its own and not the page's."""
    return tag in _SECTIONING or attributes.get("role", "").strip().lower() in _SECTIONING_ROLES


def unclosed_parts(page: str) -> frozenset[str]:
    """The kinds of a page's parts with fewer end tags than start tags: the text that follows would count as theirs."""
    opened: Counter[str] = Counter()
    for match in _PART_TAG.finditer(page):
        opened[match[2].lower()] += -1 if match[1] else 1
    return frozenset(tag for tag, count in opened.items() if count > 0)


def is_left_out(tag: str, attributes: Mapping[str, str], *, sectioned: bool) -> bool:
    """Whether an element and all in it is no text. `sectioned`: it is inside of a sectioning element."""
    if tag in _NEVER or (tag in _PAGE_PARTS and not sectioned):
        return True
    if tag == "dialog" and "open" not in attributes:
        return True
    return bool(attributes) and (_is_hidden(attributes) or _is_around(tag, attributes))


def is_contents(tag: str, attributes: Mapping[str, str]) -> bool:
    """Whether an element is a table of contents, which has the headings of other places and says nothing of its own."""
    classes = attributes.get("class", "")[:_MOST_LOOKED_AT].lower()
    return bool(classes) and tag not in _WHOLE and _CONTENTS.search(classes) is not None


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    if "hidden" in attributes and attributes["hidden"].lower() != "until-found":
        return True
    if attributes.get("aria-hidden", "").lower() == "true":
        return True
    style = attributes.get("style", "")[:_MOST_LOOKED_AT]
    return bool(style) and _UNSEEN.search("".join(style.lower().split())) is not None


def _is_around(tag: str, attributes: Mapping[str, str]) -> bool:
    if attributes.get("role", "").strip().lower() in _LEFT_OUT_ROLES:
        return True
    if attributes.get("id", "").lower() in _NOTICE_IDS:
        return True
    classes = attributes.get("class", "")[:_MOST_LOOKED_AT].lower()
    if not classes:
        return False
    if tag not in _WHOLE and _BAR.search(classes):
        return True
    return (_NOTICE.search(classes) or _SKIP_LINK.search(classes)) is not None
