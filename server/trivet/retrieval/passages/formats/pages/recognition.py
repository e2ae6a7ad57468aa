"""The text of pictures, recognized by Tesseract: a program of the system, which is started for each page.

It is given grey pixels alone, so its own readers of picture formats never see a stranger's file. It is bounded as the
process is that starts it, and ends with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.passages.limits import DocumentLimits
from trivet.vector.lifeline import die_with_parent

if TYPE_CHECKING:
    from PIL import Image

RESOLUTION = 300  # dots per inch, what Tesseract is trained for
MOST_PIXELS = 16_000_000  # that it is given of a page: an A4 page at this resolution has 8.7 million
_MOST_SAID = 200  # characters of its error message
_ENVIRONMENT = {"OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8"}
_INSTALL = (
    "install it (Debian and Ubuntu: apt-get install tesseract-ocr and tesseract-ocr-LANGUAGE; macOS: brew install "
    "tesseract tesseract-lang) or name it in `documents.ocr.command`"
)
_PATIENCE = 60.0  # seconds that it may take to tell its languages


@dataclass(frozen=True, slots=True)
class TextRecognition:
    """`command`: the program's path. `languages`: as it takes them, `deu+eng`. `seconds`: of CPU time for a page."""

    command: str
    languages: str
    seconds: int

    @classmethod
    def of(cls, limits: DocumentLimits) -> TextRecognition | None:
        """None where it is off."""
        return cls(limits.ocr_command, limits.ocr_languages, limits.seconds) if limits.ocr_command else None

    def text_of(self, page: Image.Image) -> str:
        """Of a picture in grey (mode L); empty if nothing is recognized. Raises DocumentRejected."""
        command = [self.command, "stdin", "stdout", "-l", self.languages, "--dpi", str(RESOLUTION)]
        picture = b"P5 %d %d 255\n" % page.size + page.tobytes()
        try:
            done = subprocess.run(
                command,
                input=picture,
                capture_output=True,
                check=False,
                env=_ENVIRONMENT,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        except OSError as error:
            raise DocumentRejected(f"text recognition: {self.command} does not start ({error.strerror})") from None
        if done.returncode == -signal.SIGXCPU:
            raise DocumentRejected(f"recognizing the text of a page takes longer than {self.seconds} s")
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[-_MOST_SAID:]
            raise DocumentRejected(f"text recognition failed ({done.returncode}): {said}")
        return done.stdout.decode(errors="replace")


def check_recognition(command: str, languages: str) -> str:
    """The path of the program, which has to be there with these languages, `deu+eng`. Blocking.

    Raises FailedPrecondition, which says what to install.
    """
    path = shutil.which(command)
    if path is None:
        raise FailedPrecondition(f"documents.ocr: there is no command {command!r} here: {_INSTALL}")
    path = str(Path(path).absolute())
    try:
        done = subprocess.run(
            [path, "--list-langs"], capture_output=True, check=True, env=_ENVIRONMENT, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FailedPrecondition(f"documents.ocr: {path} --list-langs fails: {error}"[:_MOST_SAID]) from None
    there = done.stdout.decode(errors="replace").splitlines()[1:]
    if missing := [one for one in languages.split("+") if one not in there]:
        raise FailedPrecondition(
            f"documents.ocr: {path} does not have {', '.join(missing)}, but {', '.join(sorted(there)) or 'nothing'}: "
            f"{_INSTALL}"
        )
    return path
