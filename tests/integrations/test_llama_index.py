"""The LlamaIndex retriever and loader, through a real listener, index and vector process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode, Document, MetadataMode, NodeRelationship, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from tests.support.gateway.index_gateway import CLIENT, INDEX, OPERATOR, ROUTE, TENANT, IndexGateway
from trivet.client import CallFailed
from trivet.integrations.llama_index import IndexLoader, LoadReport, TrivetRetriever

pytestmark = [pytest.mark.embedding, pytest.mark.asyncio(loop_scope="module")]

LAMP = "The Brixal lantern weighs 730 grams. It burns for nine hours."
HUB = "The Orlo hub reaches 60 metres. Walls take a third of that."
TABLE = "The Ondra table folds flat. It carries 45 kilograms."


def nodes_of(*texts: tuple[str, str], store: SimpleDocumentStore | None = None) -> list[BaseNode]:
    """What an ingestion pipeline makes of documents (id, text): some sentences per node."""
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(chunk_size=24, chunk_overlap=0)], docstore=store)
    documents = [Document(id_=id_, text=text, metadata={"title": f"About {id_}"}) for id_, text in texts]
    return list(pipeline.run(documents=documents, show_progress=False))


async def load(gateway: IndexGateway, nodes: Sequence[BaseNode], **options: object) -> LoadReport:
    """Load with a loader of its own, beside this event loop."""

    def run() -> LoadReport:
        with IndexLoader(gateway.target(), INDEX, **options) as loader:  # type: ignore[arg-type]
            return loader.load(nodes)

    return await asyncio.to_thread(run)


async def found(gateway: IndexGateway, text: str, secret: str = CLIENT) -> list[str]:
    """Documents of what is found."""
    retriever = TrivetRetriever(gateway.target(secret), route=ROUTE)
    nodes = await retriever.aretrieve(text)
    await retriever.aclose()
    return [str(node.metadata["document_id"]) for node in nodes]


async def test_nodes_are_loaded_and_found(gateway: IndexGateway) -> None:
    nodes = nodes_of(("lamp", LAMP), ("hub", HUB))
    report = await load(gateway, nodes)
    assert [(one.document_id, one.unchanged) for one in report.loaded] == [("lamp", False), ("hub", False)]
    assert sum(one.passages for one in report.loaded) == len(nodes), "each node is one passage"
    assert not report.refused

    with TrivetRetriever(gateway.target(CLIENT), route=ROUTE, top_k=2) as retriever:
        best, second = await asyncio.to_thread(retriever.retrieve, "how far does the hub reach")
        again = await retriever.aretrieve("how far does the hub reach")
        await retriever.aclose()
    assert again[0].node_id == best.node_id
    assert best.text in {node.get_content() for node in nodes if node.ref_doc_id == "hub"}
    assert best.score > second.score
    assert best.metadata["document_id"] == "hub"
    assert best.metadata["title"] == "About hub"
    assert best.metadata["revision"] == report.loaded[1].revision
    assert best.metadata["index"] == INDEX
    assert best.metadata["end"] > best.metadata["start"] >= 0
    assert best.node.relationships[NodeRelationship.SOURCE].node_id == "hub"
    assert "revision" not in best.node.get_content(metadata_mode=MetadataMode.LLM)


async def test_the_same_nodes_again_change_nothing(gateway: IndexGateway) -> None:
    first = await load(gateway, nodes_of(("table", TABLE)))
    again = await load(gateway, nodes_of(("table", TABLE)))
    assert [one.unchanged for one in again.loaded] == [True]
    assert again.loaded[0].revision == first.loaded[0].revision
    changed = await load(gateway, nodes_of(("table", TABLE.replace("45", "50"))))
    assert [one.unchanged for one in changed.loaded] == [False]


async def test_what_is_missing_goes_only_when_asked(gateway: IndexGateway, tmp_path: Path) -> None:
    store, manifest = SimpleDocumentStore(), tmp_path / "loaded.json"
    await load(gateway, nodes_of(("sofa", "The Velmo sofa is blue."), ("rug", "The Tarno rug is red."), store=store),
               manifest=manifest)  # fmt: skip
    unchanged = nodes_of(("sofa", "The Velmo sofa is blue."), ("rug", "The Tarno rug is red."), store=store)
    assert not unchanged, "the pipeline leaves out what it knows"
    await load(gateway, unchanged, manifest=manifest)
    assert "rug" in await found(gateway, "Which colour is the Tarno rug?")

    store.delete_document("rug")
    present = set(store.docs)
    assert present == {"sofa"}

    def remove() -> list[str]:
        with IndexLoader(gateway.target(), INDEX, manifest=manifest) as loader:
            return loader.remove_missing(present)

    assert await asyncio.to_thread(remove) == ["rug"]
    assert await asyncio.to_thread(remove) == []
    assert "rug" not in await found(gateway, "Which colour is the Tarno rug?")
    assert "sofa" in await found(gateway, "Which colour is the Velmo sofa?")


async def test_a_manifest_of_another_index_removes_nothing(gateway: IndexGateway, tmp_path: Path) -> None:
    manifest = tmp_path / "loaded.json"
    await load(gateway, nodes_of(("stool", "The Ilma stool is green.")), manifest=manifest)

    def remove() -> list[str]:
        with IndexLoader(gateway.target(), INDEX, tenant="other", manifest=manifest) as loader:
            return loader.remove_missing(())

    with pytest.raises(ValueError, match="of index 'facts' and tenant ''"):
        await asyncio.to_thread(remove)
    assert "stool" in await found(gateway, "Which colour is the Ilma stool?")


async def test_a_refused_document_does_not_stop_the_others(gateway: IndexGateway) -> None:
    nodes = [
        TextNode(text="The Karo shelf has five boards.", id_="shelf"),
        TextNode(text="The Karo desk has two drawers.", id_="../desk"),
        TextNode(text="The Karo bed has no drawers.", id_="bed"),
    ]
    report = await load(gateway, nodes)
    assert [one.document_id for one in report.loaded] == ["shelf", "bed"]
    assert [(one.document_id, one.reason) for one in report.refused] == [("../desk", "DOCUMENT_REJECTED")]


async def test_tags_and_tenants_are_the_servers(gateway: IndexGateway) -> None:
    await load(gateway, nodes_of(("tagged", "The Pinto chair is made of ash.")), tags=["wood"])
    await load(gateway, nodes_of(("foreign", "The Pinto chair is made of glass.")), tenant="globex")
    await load(gateway, nodes_of(("own", "The Pinto chair is made of steel.")), tenant=TENANT)
    text = "What is the Pinto chair made of?"
    assert {"tagged", "own"} <= set(await found(gateway, text))
    assert "foreign" not in await found(gateway, text)
    retriever = TrivetRetriever(gateway.target(CLIENT), route=ROUTE, tags=["wood"])
    assert {node.metadata["document_id"] for node in await retriever.aretrieve(text)} == {"tagged"}
    await retriever.aclose()


async def test_errors_are_the_clients(gateway: IndexGateway) -> None:
    retriever = TrivetRetriever(gateway.target("wrong"), route=ROUTE)
    with pytest.raises(CallFailed) as refused:
        await retriever.aretrieve("anything")
    assert refused.value.code == "UNAUTHENTICATED"
    await retriever.aclose()
    retriever = TrivetRetriever(gateway.target(OPERATOR), index=INDEX, deadline=0.0001)
    with pytest.raises(CallFailed) as late:
        await retriever.aretrieve("anything")
    assert late.value.code == "DEADLINE_EXCEEDED"
    await retriever.aclose()
    with pytest.raises(ValueError, match="either a route or an index"):
        TrivetRetriever(gateway.target(), route=ROUTE, index=INDEX)


async def test_one_retriever_serves_several_event_loops(gateway: IndexGateway) -> None:
    """As in programs that call `asyncio.run` more than once."""
    await load(gateway, nodes_of(("hub", HUB)))
    retriever = TrivetRetriever(gateway.target(CLIENT), route=ROUTE)

    async def once() -> int:
        try:
            return len(await retriever.aretrieve("The Orlo hub"))
        finally:
            await retriever.aclose()

    assert [await asyncio.to_thread(asyncio.run, once()) > 0 for _ in range(2)] == [True, True]
