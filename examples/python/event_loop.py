"""Two questions at once; the second is cancelled after its first words: event_loop.py ADDRESS ROUTE QUESTION."""

import asyncio
import sys

from trivet.api.v1.inference_pb2 import GenerateRequest, Message
from trivet.client import AsyncClient, Target


async def first_words(client: AsyncClient, request: GenerateRequest) -> str:
    """The first delta; the server stops generating as soon as the block is left."""
    async with client.generate_stream(request, metadata=[("x-trivet-priority", "9")]) as events:
        async for event in events:
            return event.delta.text
    return ""


async def main(address: str, route: str, question: str) -> None:
    """Ask both on one connection."""
    request = GenerateRequest(route=route, messages=[Message(role="user", content=question)])
    # Values of a prompt's variables: request.variables["shop"] = "Kestrel".
    async with AsyncClient(Target(address), timeout=30) as client:
        whole, begun = await asyncio.gather(client.generate(request), first_words(client, request))
    print("whole:", whole.text)
    print("begun:", begun)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
