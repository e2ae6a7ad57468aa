"""Names as terms: what has dots, underscores, dashes, slashes or signs in it.

The stemmer's words are letters and digits only, so `os.path.get_name` is four common ones, and `1023-55-A` the same
ones as `55-1023-A`. Names are terms of their own as well: whoever asks for one means it and nothing like it. They are

- what dots join, `os.path.join`, and what has an underscore, `get_name`; of the former also each part that has one;
- what dashes or slashes join, if there is a digit in it: part numbers, dates, versions, `CVE-2024-3094`. What stands
  between its slashes or dashes may be a name again, and counts half there: `1.2.3-rc1` is not `1.2.3`;
- paths: `/etc/fstab`, and with an ending or more than two parts `src/main.rs`, by their last two parts as well;
- words that end in signs, `C#`, `C++`, `g++`, options, `--no-install` and `-x`, and what colons join, `std::vector`.

Words that dashes join, as in `state-of-the-art`, are words. Rules that give other terms for the same text are new ones:
`trivet.retrieval.settings` counts them.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

_RUN = re.compile(r"[\w./-]+")
_SIGNED = re.compile(r"(?<![\w#+])[A-Za-z]\w{0,30}(?:#|\+\+)(?![\w#+])|(?<![\w-])--?[A-Za-z][\w-]{0,62}")
_ROOTED = re.compile(r"(?<![\w/.~-])(?:~|\.{0,2})(/\w[\w.-]*(?:/[\w.-]+)*)")
_SCOPED = re.compile(r"\w{1,62}(?:::\w{1,62}){1,6}")
_JOINTS = re.compile(r"[/-]")
_DIGIT = re.compile(r"\d")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")  # as typesetting has them
_JOINED = re.compile(r"[/_-]")
_OF_A_CODE = 3
_EDGES = "._-/"
_LONGEST = 128  # characters of a name; what is longer is no name
_PART = 0.5  # of an occurrence: a name inside another one


def codes(text: str) -> frozenset[str]:
    """The names in it that are little more than numbers: joined by more than dots, with three digits.

    So not `UTF-8`, nor `3.11.2`: of such, a question says more by its other words.
    """
    return frozenset(run for run in _runs(text) if _holds_number(run))


def names(text: str) -> Mapping[str, float]:
    """The names in a text and how often they occur. In steps that grow with its length alone: a run is cut up at its
    joints, and nothing in it is looked at twice."""
    found: dict[str, float] = defaultdict(float)
    for run in _runs(text):
        whole = _is_code(run)
        if whole:
            found[run] += 1
        if _is_path(run):
            found[run] += 1
            found["/".join(run.split("/")[-2:])] += _PART
        for part in run.split("/"):
            inner = part.strip(_EDGES)
            if inner != run and _is_code(inner):
                found[inner] += _PART if whole else 1
            for piece in inner.split("-"):
                _count_name(piece, _PART if whole else 1, found)
    for rooted in _ROOTED.findall(text):
        if len(rooted) <= _LONGEST:
            found[rooted.strip(_EDGES).lower()] += 1
    for signed in (*_SIGNED.findall(text), *_SCOPED.findall(text)):
        found[signed.lower()] += 1
    return found


def _runs(text: str) -> Iterator[str]:
    """What blanks and other signs stand around, in lower case, without what it begins and ends with."""
    dashed = text if text.isascii() else text.translate(_DASHES)
    return (match.group().strip(_EDGES).lower() for match in _RUN.finditer(dashed))


def _holds_number(run: str) -> bool:
    return len(run) <= _LONGEST and _JOINED.search(run) is not None and len(_DIGIT.findall(run)) >= _OF_A_CODE


def _is_code(run: str) -> bool:
    return len(run) <= _LONGEST and _JOINTS.search(run) is not None and _DIGIT.search(run) is not None


def _is_path(run: str) -> bool:
    """Not `and/or`: a path has three parts, or a file's ending in its last one."""
    return len(run) <= _LONGEST and (run.count("/") >= 2 or ("/" in run and "." in run.rpartition("/")[2]))


def _count_name(piece: str, times: float, found: dict[str, float]) -> None:
    """Names of letters, digits, dots and underscores in a piece of a run."""
    for dotted in piece.split("..") if len(piece) > 1 else ():
        name = dotted.strip("_.")
        parts = [part.strip("_") for part in name.split(".")]
        for term in {name, *(part for part in parts if "_" in part)}:
            if len(term) <= _LONGEST and ("." in term or "_" in term):
                found[term] += times


def number(name: str) -> int:
    """The index of a term in a sparse vector: 32 bits of its hash."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest())
