"""Nodes of a LlamaIndex `IngestionPipeline` into an index: each source document one document, each node one passage."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode

from trivet.api.v1 import admin_pb2
from trivet.client import Client, Target


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document that is durable and found by the next search. `unchanged`: it was there already as it is."""

    document_id: str
    revision: int
    unchanged: bool
    passages: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that the server did not take, and why."""

    document_id: str
    reason: str
    message: str


@dataclass(slots=True)
class LoadReport:
    """What became of each document, in the order of the nodes."""

    loaded: list[Loaded] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def source_id(node: BaseNode) -> str:
    """The id of the document that a node was cut from; a node without one is a document of its own."""
    return str(node.ref_doc_id or node.node_id)


class IndexLoader:
    """Loads nodes into one index of a running server; use as a context manager. Needs an operator key.

    The nodes of a document replace all that was there of it, so a run must bring all of them; a `docstore` on the
    pipeline, which leaves out whole documents that have not changed, is fine. The same nodes again change nothing.
    Nothing is ever removed by loading: that is asked for, with `remove` or `remove_missing`.
    """

    def __init__(
        self,
        target: Target,
        index: str,
        *,
        tenant: str = "",
        tags: Sequence[str] = (),
        title_key: str = "title",
        document_id: Callable[[BaseNode], str] = source_id,
        manifest: Path | None = None,
    ) -> None:
        """`tenant`: whose the documents are, empty for all. `title_key`: the metadata that a passage's title is.

        `document_id` says which document a node belongs to. `manifest`: a JSON file with the ids of what was loaded,
        which `remove_missing` needs.
        """
        self._client = Client(target)
        self._index = index
        self._tenant = tenant
        self._tags = list(tags)
        self._title_key = title_key
        self._document_id = document_id
        self._manifest = manifest

    def __enter__(self) -> IndexLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def load(self, nodes: Iterable[BaseNode]) -> LoadReport:
        """Add or replace the documents that these nodes were cut from; returns when all are acknowledged or refused.

        Raises trivet.client.CallFailed when the stream breaks: what was acknowledged until then stays, and the same
        call again does the rest. Raises ValueError, before anything is sent, if the manifest is another index's.
        """
        self._known()
        groups: dict[str, list[BaseNode]] = {}
        for node in nodes:
            groups.setdefault(self._document_id(node), []).append(node)
        report = LoadReport()
        try:
            for answer in self._client.upsert_documents(self._requests(groups)):
                if answer.HasField("error"):
                    report.refused.append(Refused(answer.id, answer.error.reason, answer.error.message))
                else:
                    report.loaded.append(Loaded(answer.id, answer.revision, answer.unchanged, answer.passages))
        finally:
            self._remember({one.document_id for one in report.loaded})
        return report

    def remove(self, document_ids: Iterable[str]) -> list[str]:
        """Delete documents from the index; returns the ids that there were. Searches do not find them any more."""
        ids = list(dict.fromkeys(document_ids))
        if not ids:
            return []
        deleted = list(self._client.delete_documents(self._index, ids, tenant=self._tenant).deleted)
        self._remember(set(), forget=set(ids))
        return deleted

    def remove_missing(self, present: Collection[str]) -> list[str]:
        """Delete what this loader's manifest knows and `present`, the ids of all documents there still are, does not.

        Returns the ids of what was deleted. Raises ValueError without a manifest.
        """
        if self._manifest is None:
            raise ValueError("expected a manifest: without one it is not known what was loaded")
        return self.remove(sorted(self._known() - set(present)))

    def _requests(self, groups: dict[str, list[BaseNode]]) -> Iterator[admin_pb2.UpsertDocumentsRequest]:
        for document_id, nodes in groups.items():
            titles = {self._title(node) for node in nodes}
            title = titles.pop() if len(titles) == 1 else ""  # one that all share is the document's
            lines = [self._line(node, title) for node in nodes]
            yield admin_pb2.UpsertDocumentsRequest(
                index=self._index,
                document=admin_pb2.Document(
                    id=document_id,
                    title=title,
                    content="".join(f"{line}\n" for line in lines).encode(),
                    format=admin_pb2.DOCUMENT_FORMAT_JSON_LINES,
                    tags=self._tags,
                    tenant=self._tenant,
                ),
            )

    def _line(self, node: BaseNode, document_title: str) -> str:
        """One passage. Node ids are left out: they change from run to run, the content does not."""
        line = {"text": node.get_content(metadata_mode=MetadataMode.NONE)}
        if (title := self._title(node)) and title != document_title:
            line["title"] = title
        return json.dumps(line, ensure_ascii=False)

    def _title(self, node: BaseNode) -> str:
        title: Any = node.metadata.get(self._title_key, "")
        return title if isinstance(title, str) else ""

    def _known(self) -> set[str]:
        """Raises ValueError if the manifest is another index's or tenant's: what it names must not be deleted here."""
        if self._manifest is None or not self._manifest.exists():
            return set()
        kept = json.loads(self._manifest.read_text())
        if (kept["index"], kept["tenant"]) != (self._index, self._tenant):
            raise ValueError(f"{self._manifest} is of index {kept['index']!r} and tenant {kept['tenant']!r}")
        return set(kept["ids"])

    def _remember(self, ids: set[str], *, forget: Collection[str] = ()) -> None:
        """Bring the manifest up to what is in the index; it is replaced whole."""
        if self._manifest is None:
            return
        kept = {"index": self._index, "tenant": self._tenant, "ids": sorted((self._known() | ids) - set(forget))}
        unfinished = self._manifest.with_name(self._manifest.name + ".unfinished")
        unfinished.write_text(json.dumps(kept, ensure_ascii=False))
        unfinished.replace(self._manifest)
