"""What each adapter version answers alone, to compare with later."""

from __future__ import annotations

from benchmarks.chaos.world import BASE, QUESTIONS, World
from trivet.api.v1 import inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

Answers = dict[tuple[str, str], str]


def request(route: str, question: str) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(
        route=route, messages=[inference_pb2.Message(role="user", content=question)], temperature=0.0
    )


def answers_alone(world: World, server: ServerProcess) -> Answers:
    """What each adapter version, and the base, answers to each question when nothing else runs."""
    alone: Answers = {}
    with Client(server.target, timeout=60) as client:
        for route, adapter in (*world.serving.items(), (BASE, "")):
            for question in QUESTIONS:
                alone[adapter, question] = client.generate(request(route, question)).text
    for question in QUESTIONS:
        texts = [text for (_, asked), text in alone.items() if asked == question]
        assert len(set(texts)) == len(texts), "two adapters give the same answer: nothing could be told apart"
    return alone
