"""What each client's program does, and tells as one line of JSON.

A program gets two base URLs: a whole server's, and that of a gateway with a scripted model, which calls a tool whenever
there is one. The keys are those of `test_world.py`.
"""

import json
import sys
from typing import Any

from pydantic import BaseModel

QUESTION = "What is the range of the Orlo Hub?"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds a bicycle.",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
    },
}


class Rated(BaseModel):
    """A form for an answer."""

    zeal: bool
    good: bool


def urls() -> tuple[str, str]:
    """The whole server's and the scripted gateway's."""
    return sys.argv[1], sys.argv[2]


def tell(**found: Any) -> None:
    """Print what was found."""
    print(json.dumps(found))
