"""What every section of the configuration is made of: strict sections and the kinds of values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from trivet.types.encodings import codec_of
from trivet.types.names import NAME
from trivet.types.path_pattern import PathPattern

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Ref = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):[0-9]{1,5}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, StringConstraints(pattern=r"\S")]


def _pattern(text: str) -> str:
    PathPattern.parse(text)
    return text


def _encoding(label: str) -> str:
    if codec_of(label) is None:
        raise ValueError("no encoding of text that files are read in; expected one such as windows-1252")
    return label


Encoding = Annotated[str, AfterValidator(_encoding)]
Pattern = Annotated[str, AfterValidator(_pattern)]  # of paths, as in trivet.types.path_pattern


class Section(BaseModel):
    """A part of the file: nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
