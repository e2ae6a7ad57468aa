"""What every section of the configuration is made of: strict sections and the kinds of values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from trivet.config.fields import patterns
from trivet.types.text.encodings import codec_of
from trivet.types.text.path_pattern import PathPattern

Name = Annotated[str, StringConstraints(pattern=patterns.NAME)]
Ref = Annotated[str, StringConstraints(pattern=patterns.REF)]
Sha256 = Annotated[str, StringConstraints(pattern=patterns.SHA256)]
HostPort = Annotated[str, StringConstraints(pattern=patterns.HOST_PORT)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, StringConstraints(pattern=patterns.NOT_BLANK)]


def _pattern(text: str) -> str:
    PathPattern.parse(text)
    return text


def _encoding(label: str) -> str:
    if codec_of(label) is None:
        raise ValueError("no encoding of text that files are read in; expected one such as windows-1252")
    return label


Encoding = Annotated[str, AfterValidator(_encoding)]
Pattern = Annotated[str, AfterValidator(_pattern)]  # of paths, as in trivet.types.text.path_pattern


class Section(BaseModel):
    """A part of the file: nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
