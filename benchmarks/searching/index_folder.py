"""A data folder with indexes of its own, as a server has it, without an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from trivet.app.indexes import own_indexes
from trivet.config import load_config
from trivet.retrieval.service import IndexService

_FILE = """\
version: 1
server: {{data_dir: data}}
backends: {{unused: {{kind: embedded, model: model}}}}
indexes: {{{indexes}}}
routes:
  unused:
    variants:
      only: {{weight: 1, backend: unused, prompt: unused@1}}
"""


@asynccontextmanager
async def indexes_in(folder: Path, indexes: Mapping[str, str]) -> AsyncIterator[IndexService]:
    """Indexes by name, each with the rest of its `index.yaml`; what is in the folder from an earlier run stays."""
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "adapters").mkdir(exist_ok=True)
    (folder / "prompts" / "unused").mkdir(parents=True, exist_ok=True)
    (folder / "prompts" / "unused" / "1.md").write_text("Not used.\n")
    for name, settings in indexes.items():
        (folder / name / "corpus").mkdir(parents=True, exist_ok=True)
        (folder / name / "index.yaml").write_text(f"version: 1\n{settings}")
    path = folder / "trivet.yaml"
    path.write_text(_FILE.format(indexes=", ".join(f"{name}: {name}" for name in indexes)))
    async with own_indexes(load_config(path)) as service:
        yield service
