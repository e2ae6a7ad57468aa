"""The official Qdrant client on a vector process, as a program that is not ours would use it."""

from __future__ import annotations

import random
from collections.abc import Iterable

from qdrant_client import AsyncQdrantClient, models

from trivet.stores.vector_process import VectorProcess

DIMENSION = 8


def connect(process: VectorProcess) -> AsyncQdrantClient:
    """A client on its own channel, with the key of the process."""
    endpoint = process.endpoint
    assert endpoint is not None
    return AsyncQdrantClient(
        url=endpoint.url,
        grpc_port=endpoint.grpc_port,
        api_key=endpoint.api_key,
        prefer_grpc=True,
        check_compatibility=False,
        pool_size=1,
    )


async def create(client: AsyncQdrantClient, name: str) -> None:
    """A collection with a dense and a sparse vector."""
    await client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)},
        sparse_vectors_config={"terms": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )


def points(numbers: Iterable[int]) -> list[models.PointStruct]:
    """Points whose vectors and payload follow from their number."""
    made = []
    for number in numbers:
        draw = random.Random(number)
        made.append(
            models.PointStruct(
                id=number,
                vector={
                    "dense": [draw.uniform(-1, 1) for _ in range(DIMENSION)],
                    "terms": models.SparseVector(indices=[number % 5, 10 + number % 3], values=[1.0, 0.5]),
                },
                payload={
                    "number": number,
                    "colour": ["red", "green", "blue"][number % 3],
                    "tags": [f"t{number % 2}", f"t{number % 7}"],
                    "nothing": None,
                    "inner": {"half": number / 2, "even": number % 2 == 0},
                },
            )
        )
    return made
