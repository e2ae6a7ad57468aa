"""Counts the wrong answers of mixed batches, without and with the plugin. To be run with `VLLM_PLUGINS` empty."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.support.engine.fixtures import tiny_settings
from tests.support.engine.tiny_model import adapter_files
from trivet.backends.launch.engine_sockets import EngineSockets
from trivet.backends.launch.launch import Launch
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import BackendUnavailable
from trivet.testing.adapters import write_adapter

PROMPTS = [list(range(5, 69)) + [number] * 3 for number in range(100, 108)]


async def answer(llm: Any, number: int, lora: Any, salt: str | None) -> list[int]:
    from vllm import SamplingParams

    prompt: dict[str, Any] = {"type": "token", "prompt_token_ids": PROMPTS[number]}
    if salt:
        prompt["cache_salt"] = salt
    name = f"{number}-{lora.lora_int_id if lora else 0}-{salt}"
    outputs = llm.generate(prompt, SamplingParams(max_tokens=16, temperature=0), name, lora_request=lora)
    last = [output async for output in outputs][-1]
    return list(last.outputs[0].token_ids)


async def wrong_answers(llm: Any, loras: list[Any]) -> dict[str, int]:
    """Answers that differ from the same request's answer when it was alone."""
    cases = [(number, lora) for number in range(len(PROMPTS)) for lora in (None, *loras)]
    alone = [await answer(llm, number, lora, f"alone-{number}") for number, lora in cases]
    mixed = await asyncio.gather(*(answer(llm, number, lora, None) for number, lora in cases))
    wrong = [case for case, one, other in zip(cases, alone, mixed, strict=True) if one != other]
    return {"base": sum(lora is None for _, lora in wrong), "adapters": sum(lora is not None for _, lora in wrong)}


async def main(model: Path, data: Path) -> None:
    from vllm.lora.request import LoRARequest

    settings = tiny_settings(model, data)
    folders = [write_adapter(data / "adapters" / str(seed), adapter_files(seed)) for seed in (1, 2)]
    loras = [LoRARequest(folder.name, number, str(folder)) for number, folder in enumerate(folders, start=1)]
    said: dict[str, Any] = {}
    try:
        await EmbeddedVllm(settings).start()
    except BackendUnavailable as problem:
        said["refused"] = str(problem)

    import trivet.backends.launch.launch as launching
    from trivet.vllm_plugin import cpu_lora

    launching._require_mended_lora = lambda: None
    for way in ("without", "with"):
        if way == "with":
            cpu_lora.register()
        llm = await asyncio.to_thread(
            Launch(settings, EngineSockets(settings.cache_folder, settings.name), lambda: None).run
        )
        said[way] = await wrong_answers(llm, loras)
        llm.shutdown(timeout=5)
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
