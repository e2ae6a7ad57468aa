"""Follow-up questions, written anew by a model through a server, and what is found with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.progress import Progress

from benchmarks.retrieval_quality.report import DEPTH, Ranks
from benchmarks.retrieval_quality.rewriting_chats import INSTRUCTION
from benchmarks.retrieval_quality.worded import rank_of
from benchmarks.retrieval_quality.wordings import FollowUp
from trivet.api.v1 import inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.pipeline.rewriting.transcript import one_line, transcript
from trivet.types.request import Message
from trivet.types.variant import RewriteSettings, VersionRef

_CHECKED = 5  # questions that the setting itself is asked with, too
AS_ASKED, ANEW, BOTH, ALONE = "as asked", "written anew", "both, fused", "as it stands alone"
_SAID = 40  # tokens of a question at most
_EXAMPLES = """
<!-- user -->
Conversation:
User: Does the Veltro have a display?
Assistant: Yes, of 5 inches.

Last question: And how much does it weigh?

<!-- assistant -->
How much does the Veltro weigh?

<!-- user -->
Conversation:
User: I have a question about parcels.
Assistant: What do you want to know?

Last question: Why was that not delivered on Sunday?

<!-- assistant -->
Why was the parcel not delivered on Sunday?
"""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes questions anew: a model's folder, shown two examples; or an adapter for it, which has seen many.

    `adapters`: the folder that has `adapter`, a name and a version.
    """

    model: Path
    adapters: Path | None = None
    adapter: str = ""

    def prompt(self) -> str:
        """The text of the prompt's file."""
        return INSTRUCTION + "\n" + ("" if self.adapter else _EXAMPLES)

    def config(self, index: str) -> dict[str, Any]:
        """Of a server that writes with the route `rewrite`, and searches with `search`."""
        lora: dict[str, Any] = {"max_loras": 1, "max_lora_rank": 16} if self.adapter else {"enable_lora": False}
        answered = {"weight": 1, "backend": "local", "prompt": "rewrite@1"}
        rewrite: dict[str, Any] = {"prompt": "rewrite@1", "max_tokens": _SAID, "max_turns": 6}
        if self.adapter:
            answered["adapter"] = self.adapter
            rewrite["model"] = "adapter"
        searched = {"retrieval": {"index": index, "top_k": 1, "rewrite": rewrite}, "sampling": {"max_tokens": 1}}
        return {
            "version": 1,
            "server": {"data_dir": "data"},
            "backends": {
                "local": {
                    "kind": "embedded", "model": str(self.model.resolve()), "dtype": "float32", "block_size": 32,
                    "max_model_len": 1024, "max_num_seqs": 4, "kv_cache_memory_bytes": 256 << 20, **lora,
                }
            },
            "prompts": "prompts",
            "adapters": [str(self.adapters.resolve())] if self.adapters is not None else [],
            "indexes": {index: index},
            "routes": {
                "rewrite": {"variants": {"v": {**answered, "sampling": {"max_tokens": _SAID, "stop": ["\n"]}}}},
                "search": {
                    "retrieval": {"deadline_ms": 120_000, "on_failure": "fail"},
                    "variants": {"v": {**answered, **searched}},
                },
            },
        }  # fmt: skip


def ask_follow_ups(
    folder: Path, index: str, writer: Writer, asked: Sequence[FollowUp], bars: Progress
) -> tuple[dict[str, Ranks], list[str]]:
    """By way of asking, the ranks; and what the writer has written of each question, through a server with it.

    It is asked with what `rewrite` of a variant's retrieval would ask it with.
    """
    (folder / "prompts" / "rewrite").mkdir(parents=True, exist_ok=True)
    (folder / "prompts" / "rewrite" / "1.md").write_text(writer.prompt())
    config = folder / "follow_ups.yaml"
    config.write_text(yaml.safe_dump(writer.config(index)))
    settings = RewriteSettings(VersionRef("rewrite", "1"))
    ranks: dict[str, Ranks] = {way: [] for way in (AS_ASKED, ANEW, BOTH, ALONE)}
    written: list[str] = []
    differing = 0
    with (
        ServerProcess(config, folder / "data", output=folder / "server.log") as server,
        Client(server.target) as client,
    ):
        for one in bars.track(asked, description="ask follow-ups"):
            messages = [*one.earlier, Message("user", one.asked.text)]
            said = inference_pb2.Message(role="user", content=transcript(messages, settings))
            answer = client.generate(inference_pb2.GenerateRequest(route="rewrite", messages=[said]))
            anew = one_line(answer.text) or one.asked.text
            written.append(anew)
            if len(written) <= _CHECKED:
                differing += not _searched_alike(client, messages, anew)
            ways = {AS_ASKED: (one.asked.text,), ANEW: (anew,), BOTH: (anew, one.asked.text), ALONE: (one.alone.text,)}
            for way, (text, *more) in ways.items():
                request = inference_pb2.RetrieveRequest(route="search", text=text, more_texts=more, top_k=DEPTH)
                hits = [(found.document_id, found.text) for found in client.retrieve(request).citations]
                ranks[way].append(rank_of(one.asked, hits))
    if differing:
        print(f"for {differing} of {_CHECKED} questions the setting itself found another passage", file=sys.stderr)
    return ranks, written


def _searched_alike(client: Client, messages: Sequence[Message], anew: str) -> bool:
    """Whether a request whose variant rewrites is given the passage that a search with the same words finds first."""
    turns = [inference_pb2.Message(role=one.role, content=one.content) for one in messages]
    answer = client.generate(inference_pb2.GenerateRequest(route="search", messages=turns))
    found = client.retrieve(inference_pb2.RetrieveRequest(route="search", text=anew, top_k=1))
    same = [one.passage_id for one in answer.citations] == [one.passage_id for one in found.citations]
    return same and answer.receipt.rewritten
