"""The Admin service: what operators call. Every call needs an operator key, but for those that change documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.api.v1 import admin_pb2, admin_pb2_grpc
from trivet.errors import NotFound
from trivet.excerpt import quote
from trivet.interactions.archive import InteractionArchive
from trivet.pipeline.routes.readiness import Readiness
from trivet.pipeline.routes.route_update import RouteChange
from trivet.ports import FleetAdministration, IndexAdministration, SearchExplainer
from trivet.rollouts.ports.operations import RolloutControl
from trivet.routing.table import RouteTable
from trivet.rpc.admin_wire import (
    adapter_to_proto,
    adapter_users,
    build_event_to_proto,
    engine_node_to_proto,
    index_to_proto,
    ref_of,
    route_to_proto,
)
from trivet.rpc.auth import Authenticator
from trivet.rpc.call import Context, rpc_call, write_bounded
from trivet.rpc.document_changes import delete_documents
from trivet.rpc.interactions import InteractionCalls
from trivet.rpc.request.explained import documents_to_proto, explained_query, explanation_to_proto
from trivet.rpc.rollouts import RolloutCalls, RolloutWatches
from trivet.rpc.uploads import UnfinishedUploads, UploadStream
from trivet.types.passage import IndexStatus

changes = logging.getLogger(f"{__name__}.changes")
"""Who changed what."""


class AdminServicer(RolloutCalls, InteractionCalls, admin_pb2_grpc.AdminServicer):
    """Implements `trivet.api.v1.Admin`."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        adapters: AdapterManager,
        indexes: IndexAdministration,
        searches: SearchExplainer,
        readiness: Readiness,
        reload: Callable[[], Awaitable[RouteChange]],
        keys: Authenticator,
        uploads: UnfinishedUploads,
        rollouts: RolloutControl,
        watches: RolloutWatches,
        interactions: InteractionArchive,
        slow_reader_timeout: float,
        fleets: FleetAdministration | None = None,
    ) -> None:
        """`fleets`: None where no backend has engine nodes."""
        RolloutCalls.__init__(self, rollouts, keys, watches, slow_reader_timeout)
        InteractionCalls.__init__(self, interactions, keys, slow_reader_timeout)
        self._routes = routes
        self._adapters = adapters
        self._indexes = indexes
        self._searches = searches
        self._readiness = readiness
        self._reload = reload
        self._uploads = uploads
        self._fleets = fleets

    async def ListRoutes(self, request: admin_pb2.ListRoutesRequest, context: Context) -> Any:
        """Every route, its variants, their weights, and whether each is warm."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            routes = [route_to_proto(route, self._readiness.is_ready) for route in self._routes.routes.values()]
            return admin_pb2.ListRoutesResponse(routes=routes)

    async def ReloadRoutes(self, request: admin_pb2.ReloadRoutesRequest, context: Context) -> Any:
        """Read the configuration again, warm what is new, serve it."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            change = await self._reload()
            changes.info("%s had the routes reloaded: revision %d", caller, change.revision)
            return admin_pb2.ReloadRoutesResponse(revision=change.revision, differences=change.differences)

    async def ListAdapters(self, request: admin_pb2.ListAdaptersRequest, context: Context) -> Any:
        """Every adapter that is known, wanted or loaded."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            statuses = await self._adapters.list()
            users = adapter_users(self._routes.routes, [status.ref for status in statuses if status.on_demand])
            adapters = [adapter_to_proto(status, users) for status in statuses]
            return admin_pb2.ListAdaptersResponse(adapters=adapters)

    async def LoadAdapter(self, request: admin_pb2.LoadAdapterRequest, context: Context) -> Any:
        """Check, copy, load, and record that it is to stay loaded."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            status = await self._adapters.load(ref_of(request.name))
            changes.info("%s loaded adapter %s", caller, request.name)
            return admin_pb2.LoadAdapterResponse(adapter=adapter_to_proto(status, adapter_users(self._routes.routes)))

    async def UnloadAdapter(self, request: admin_pb2.UnloadAdapterRequest, context: Context) -> Any:
        """Withdraw what was recorded, drain, remove."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            status = await self._adapters.unload(ref_of(request.name))
            changes.info("%s unloaded adapter %s", caller, request.name)
            return admin_pb2.UnloadAdapterResponse(adapter=adapter_to_proto(status, adapter_users(self._routes.routes)))

    async def ListEngineNodes(self, request: admin_pb2.ListEngineNodesRequest, context: Context) -> Any:
        """Every node of every fleet."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            nodes = [] if self._fleets is None else self._fleets.nodes()
            return admin_pb2.ListEngineNodesResponse(nodes=[engine_node_to_proto(node) for node in nodes])

    async def DrainEngineNode(self, request: admin_pb2.DrainEngineNodeRequest, context: Context) -> Any:
        """The node tells all its gateways."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            if self._fleets is None:
                raise NotFound("no backend of this gateway has engine nodes")
            running = await self._fleets.drain(request.address, request.draining)
            changes.info("%s %s node %s", caller, "drains" if request.draining else "undrains", quote(request.address))
            return admin_pb2.DrainEngineNodeResponse(running=running)

    async def UpsertDocuments(
        self, requests: AsyncIterator[admin_pb2.UpsertDocumentsRequest], context: Context
    ) -> None:
        """One at a time, in order; a refused document is acknowledged as such and the next one taken."""
        async with rpc_call(context) as call:
            caller, counts = call.authenticate(self._keys), Counter[str]()
            with UploadStream(self._indexes, self._uploads, caller) as stream:
                try:
                    async for answer in stream.answers(requests):
                        counts["refused" if answer.HasField("error") else "taken"] += 1
                        await write_bounded(context, answer, self._slow_reader_timeout)
                finally:
                    if counts:
                        told = (caller, quote(stream.index), counts["taken"], counts["refused"])
                        changes.info("%s sent documents to index %s: %d taken, %d refused", *told)

    async def DeleteDocuments(self, request: admin_pb2.DeleteDocumentsRequest, context: Context) -> Any:
        """Delete by id; says which ids there were."""
        async with rpc_call(context, request) as call:
            caller = call.authenticate(self._keys)
            answer = await delete_documents(self._indexes, request, caller)
            changes.info("%s deleted %d documents of index %s", caller, len(answer.deleted), request.index)
            return answer

    async def ListIndexes(self, request: admin_pb2.ListIndexesRequest, context: Context) -> Any:
        """Every configured index."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            indexes = [self._index(status) for status in await self._indexes.status()]
            return admin_pb2.ListIndexesResponse(indexes=indexes)

    async def BuildIndex(self, request: admin_pb2.BuildIndexRequest, context: Context) -> None:
        """Bring an index up to its corpus and its settings; streams how far it is."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            changes.info("%s began to build index %s", caller, quote(request.index))
            building = self._indexes.build(request.index, rebuild=request.rebuild, strict=request.strict)
            async with aclosing(building) as events:  # whatever ends it lets the next build begin
                async for event in events:
                    await write_bounded(context, build_event_to_proto(event), self._slow_reader_timeout)
            built = next(item for item in await self._indexes.status() if item.name == request.index)
            changes.info("%s has built index %s: snapshot %s", caller, request.index, built.snapshot)
            answer = admin_pb2.BuildIndexResponse(built=self._index(built))
            await write_bounded(context, answer, self._slow_reader_timeout)

    def _index(self, status: IndexStatus) -> admin_pb2.Index:
        return index_to_proto(status, self._routes.routes)

    async def ExplainSearch(self, request: admin_pb2.ExplainSearchRequest, context: Context) -> Any:
        """How a search comes about."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            return explanation_to_proto(await self._searches.explain(explained_query(request)))

    async def ListDocuments(self, request: admin_pb2.ListDocumentsRequest, context: Context) -> None:
        """Every document of an index."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            async with aclosing(self._indexes.documents(request.index)) as found:
                async for documents in found:
                    await write_bounded(context, documents_to_proto(documents), self._slow_reader_timeout)

    async def RollbackIndex(self, request: admin_pb2.RollbackIndexRequest, context: Context) -> Any:
        """Return to a retained snapshot: its chunking, embedding model and settings, with today's documents."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            status = await self._indexes.rollback(request.index, request.snapshot, request.reason)
            why = f": {quote(request.reason)}" if request.reason else ""
            changes.info("%s rolled index %s back to snapshot %s%s", caller, request.index, status.snapshot, why)
            return admin_pb2.RollbackIndexResponse(index=self._index(status))
