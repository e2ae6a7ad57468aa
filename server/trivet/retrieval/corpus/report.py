"""What is found while a corpus is walked and read, counted; the first ones by name."""

from __future__ import annotations

from collections import Counter

from trivet.errors import DocumentRejected
from trivet.types.corpus import CorpusReport, GuessedEncoding, SkippedFile

MAX_NAMED = 100  # in a report
_IN_ERROR = 20  # in one message, which has to fit into a status
_MAX_KINDS = 1_000  # counted apart
_KINDS_NAMED = 20
_OTHER = "(other)"
_NONE = "(none)"


class CorpusReportBuilder:
    """Bounded, however much is found."""

    def __init__(self) -> None:
        self.files = 0
        self.documents = 0
        self.skipped = 0
        self.excluded = 0
        self._first_skipped: list[SkippedFile] = []
        self._kinds: Counter[str] = Counter()
        self._guessed = 0
        self._first_guessed: list[GuessedEncoding] = []

    def skip(self, file: str, reason: str, *, kept: bool = False) -> None:
        """Something could not be taken."""
        self.skipped += 1
        if len(self._first_skipped) < MAX_NAMED:
            self._first_skipped.append(SkippedFile(file, reason, kept))

    def ignore(self, ending: str) -> None:
        """A file whose ending names no format."""
        kind = ending or _NONE
        self._kinds[kind if kind in self._kinds or len(self._kinds) < _MAX_KINDS else _OTHER] += 1

    def guess(self, file: str, encoding: str) -> None:
        """A file that does not say what its encoding is."""
        self._guessed += 1
        if len(self._first_guessed) < MAX_NAMED:
            self._first_guessed.append(GuessedEncoding(file, encoding))

    def report(self) -> CorpusReport:
        """Everything so far."""
        kinds = sorted(self._kinds.items(), key=lambda kind: (-kind[1], kind[0]))
        return CorpusReport(
            files=self.files,
            documents=self.documents,
            skipped=self.skipped,
            first_skipped=tuple(self._first_skipped),
            ignored=self._kinds.total(),
            ignored_kinds=tuple(kinds[:_KINDS_NAMED]),
            excluded=self.excluded,
            guessed=self._guessed,
            first_guessed=tuple(self._first_guessed),
        )

    def error(self) -> DocumentRejected:
        """What was skipped as one error, the first ones by name."""
        named = [f"{one.file}: {one.reason}" for one in self._first_skipped[:_IN_ERROR]]
        if self.skipped == 1:
            return DocumentRejected(named[0])
        more = f"; and {self.skipped - len(named):,} more" if self.skipped > len(named) else ""
        return DocumentRejected(f"{self.skipped:,} problems in the corpus: {'; '.join(named)}{more}")
