"""What Trivet claims, checked on a machine with a GPU: one command, at most ten minutes, a page as its result.

    python deploy/gpu/check.py --to gpu.md                    on a GPU: 8B-shaped random weights, 256 streams
    python deploy/gpu/check.py --to gpu.md --rust PATH/vllm-rs  with vLLM's Rust front end
    python deploy/gpu/check.py --tiny                         the same steps with a tiny model, on this CPU

`python -m benchmarks.gpu` is the same. Run it in a checkout whose environment is set up (`make setup ENGINE=gpu`). Each
part says what it found; one that fails is on the page with its error, and the others go on. The exit code is 1 if any
failed.

How it is measured
- Front ends: Trivet over gRPC, AsyncLLM alone, vLLM's Python server and, where its binary is given, its Rust front end,
  with an engine each, all up at once, in turn (see `benchmarks.peers`).
- Isolation: each of four adapters and the base answer four questions alone, then all of them at the same time. An
  answer is an adapter's if it begins as that adapter's own answer does, and as no other's.
- Swaps: adapters are loaded and unloaded while eight streams run; told are the times of the loads and of the streams'
  messages with and without (see `benchmarks.adapters`).
- Prefix: the time to the first token of a prompt whose static prefix is in the cache, over that of one that is not.
- LoRA: tokens/s of the base with LoRA off, with LoRA on and unused, and of one adapter.

What it does not show
- Quality: the weights are random. A network between client and server.
- With a batch of another size a GPU adds in another order, so that long answers may part: isolation looks at their
  beginnings.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu.parts import Scale, front_ends, isolation, lora_cost, prefix_cache, swaps
from benchmarks.measuring import machine
from benchmarks.measuring.machine import machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.path.plan import progress_from_now

BIG = Scale(
    tiny=False, streams=(32, 256), rounds=2, seconds=6.0,
    engine={"dtype": "bfloat16", "block_size": 16, "max_num_seqs": 256, "kv_cache_memory_bytes": 8 << 30,
            "enforce_eager": False},
)  # fmt: skip
TINY = Scale(tiny=True, streams=(4,), rounds=1, seconds=3.0, engine={})
PARTS: dict[str, Callable[..., str]] = {
    "Front ends": front_ends, "Isolation": isolation, "Swaps under load": swaps, "Prefix cache": prefix_cache,
    "What LoRA costs": lora_cost,
}  # fmt: skip


def main() -> int:
    """Run the parts and write the page."""
    given = _arguments()
    say, failed = progress_from_now(), False
    scale = TINY if given.tiny else BIG

    lines = ["# Checked on a GPU" if not given.tiny else "# The check of a GPU, tried on a CPU", ""]
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        scale.make(Path(folder), say)
        for title, part in PARTS.items():
            if given.parts and title not in given.parts:
                continue
            lines += [f"## {title}", ""]
            try:
                lines += [part(scale, Path(folder), given.rust, say), ""]
            except Exception as problem:
                failed = True
                traceback.print_exc()
                lines += [f"Failed: {type(problem).__name__}: {str(problem)[:500]}", ""]
    lines += [*machine_lines(machine.describe(ROOT)), *method(__doc__)]
    page = "\n".join(lines) + "\n"
    if given.to is None:
        sys.stdout.write(page)
    else:
        given.to.write_text(page)
    say("done" if not failed else "something failed, see the page")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tiny", action="store_true", help="a tiny model on the CPU: to see that every step works")
    add("--to", type=Path, metavar="FILE", help="the page; printed by default")
    add("--rust", type=Path, metavar="FILE", help="vllm-rs, which vLLM's wheel for GPUs carries")
    add("--parts", nargs="+", choices=list(PARTS), help="only these")
    add("--folder", type=Path, metavar="DIR", help="where 20 GB may lie for a while (default: the temporary folder)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
