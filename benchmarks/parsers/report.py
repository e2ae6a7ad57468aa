"""The page of `benchmarks.parsers`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.tables import table
from benchmarks.parsers.run import LENGTHS, Found, names_of
from benchmarks.parsers.trial import GIVE_UP
from trivet.backends.answers.pacing import LONGEST

SLOW = 0.25  # seconds of a processor for an answer of the full length: what a quicker one takes disturbs nobody
LINEAR = 6.0  # four times the characters may take so many times as long; the square is 16 times


@dataclass(frozen=True, slots=True)
class Row:
    """One parser and one text. `seconds` by `LENGTHS`, None where it raised; `paced`, `held`: at the full length."""

    found: Found
    text: str
    seconds: list[float | None]
    pieces: int
    longest: float
    cut: bool
    paced: Mapping[str, Any] | None
    held: Mapping[str, Any] | None

    @property
    def factor(self) -> float | None:
        """From the second length to the third one."""
        before, after = self.seconds[-2:]
        return after / before if before and after else None

    @property
    def worse(self) -> bool:
        """Worse than linear, and long enough to tell."""
        return self.cut or ((self.factor or 0) >= LINEAR and (self.seconds[-1] or 0) >= SLOW / 5)


def rows(found: Sequence[Found]) -> list[Row]:
    """One for each text that was tried at the full length."""
    return [_row(one, text, cells) for one in found for text, cells in one.texts.items() if len(cells) == len(LENGTHS)]


def _row(found: Found, text: str, cells: list[dict[str, Any]]) -> Row:
    last = cells[-1].get("unpaced", {})
    return Row(
        found=found,
        text=text,
        seconds=[cell["unpaced"]["seconds"] if "unpaced" in cell else None for cell in cells],
        pieces=last.get("pieces", 0),
        longest=last.get("longest", 0.0),
        cut=not last.get("whole", True),
        paced=cells[-1].get("paced"),
        held=cells[-1].get("held"),
    )


def report(described: Mapping[str, Any], found: Sequence[Found]) -> str:
    """Markdown."""
    all_rows = rows(found)
    worse = sorted((row for row in all_rows if row.worse), key=lambda row: -(row.seconds[-1] or 0))
    named = {(row.found.kind, row.found.name) for row in worse}
    measured = [one for one in found if one.texts]
    linear = [one for one in measured if (one.kind, one.name) not in named and not one.problem]
    return "\n".join(
        [
            "# vLLM's parsers of thoughts and tool calls",
            "",
            f"`{command('parsers')}`. Seconds of a processor for one whole answer that comes token by token.",
            "",
            f"{len(measured)} parsers were measured. {len(named)} of them are worse than linear on some text.",
            "",
            "## Worse than linear",
            "",
            *_table(worse),
            "",
            "## Linear, or too quick to matter",
            "",
            *_listed(linear, all_rows),
            "",
            "## Texts on which a parser raises",
            "",
            "The server hands on the rest of such an answer as text.",
            "",
            *_raised(measured),
            "",
            "## Not measured, or not to the end",
            "",
            *_problems(found),
            "",
            "## Machine",
            "",
            *machine_lines(described),
        ]
    )


def _table(found: Sequence[Row]) -> Iterator[str]:
    names = [f"{length // 1000}k" for length in LENGTHS]
    yield from table(
        (
            "parser", "what is long", *names, f"{names[-1]} / {names[-2]}", "longest piece",
            "paced: all", "of the time", "longest piece", "given up", "loop: held", "late",
        ),
        [
            (
                f"{row.found.kind} {names_of(row.found)}", row.text, *(_seconds(value) for value in row.seconds[:-1]),
                _seconds(row.seconds[-1], row.cut), "" if row.cut or not row.factor else f"{row.factor:.1f}",
                f"{1000 * row.longest:.0f} ms", *_paced(row.paced), *_held(row.held),
            )
            for row in found
        ],
    )  # fmt: skip


def _seconds(value: float | None, cut: bool = False) -> str:
    if value is None:
        return "raises"
    return f"> {GIVE_UP:g}" if cut else f"{value:.3f}"


def _paced(paced: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    if paced is None:
        return "", "", "", ""
    given_up = f"at {1000 * LONGEST:.0f} ms" if paced["given_up"] else "no"
    return f"{paced['seconds']:.3f}", f"{paced['share']:.3f}", f"{1000 * paced['longest']:.0f} ms", given_up


def _held(held: Mapping[str, Any] | None) -> tuple[str, str]:
    if held is None:
        return "", ""
    return f"{1000 * held['longest']:.1f} ms", f"{1000 * held['gap']:.1f} ms"


def _listed(found: Sequence[Found], all_rows: Sequence[Row]) -> Iterator[str]:
    for kind in ("tool", "reasoning"):
        own = [row for row in all_rows if row.found.kind == kind and row.found in found]
        if own:
            slowest = max(row.seconds[-1] or 0.0 for row in own)
            names = ", ".join(names_of(one) for one in found if one.kind == kind)
            yield f"- {kind}: {names}; at most {slowest:.2f} s for {LENGTHS[-1]:,} characters"


def _raised(found: Sequence[Found]) -> Iterator[str]:
    nothing = True
    for one in found:
        raised = {text: cell["raised"] for text, cells in one.texts.items() for cell in cells if "raised" in cell}
        if raised:
            nothing = False
            text, said = next(iter(raised.items()))
            yield f"- {one.kind} {names_of(one)}, {len(raised)} of {len(one.texts)} texts, such as {text}: {said[:100]}"
    if nothing:
        yield "None."


def _problems(found: Sequence[Found]) -> Iterator[str]:
    for one in found:
        if one.problem:
            yield f"- {one.kind} {names_of(one)}: {one.problem}"
        elif one.reads is False:
            yield f"- {one.kind} {names_of(one)}: it does not read the call that was written for it here"
