"""What tells a gateway from others that share a state store."""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path

logger = logging.getLogger(__name__)

_NAME = re.compile("[0-9a-f]{8}")
_MOST_READ = 64  # bytes


def own_name(path: Path) -> str:
    """The same as long as the data folder is; drawn at its first start, and again if the file is damaged."""
    try:
        found = path.read_bytes()[:_MOST_READ].decode("ascii").strip()
        if _NAME.fullmatch(found):
            return found
        logger.warning("%s holds no name of ours: this gateway gets another one", path)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as problem:
        logger.warning("%s cannot be read, this gateway gets another name: %s", path, problem)
    name = secrets.token_hex(4)
    try:
        path.write_text(name + "\n", encoding="ascii")
    except OSError as problem:
        logger.warning("%s cannot be written, so the name is for this start alone: %s", path, problem)
    return name
