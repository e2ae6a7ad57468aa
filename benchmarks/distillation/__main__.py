"""The demo's long prompt distilled into an adapter that needs none.

    python -m benchmarks.distillation --folder /tmp/distillation --to benchmarks/results

How it is measured

- `trivet distill`: the teacher is the candidate of the demo's route `tickets`, a prompt of 230 tokens (the queues, what
  each is for, three worked examples) with the adapter `ticket-sorter@2`. The student is told "Answer the question.",
  begins with the teacher's adapter (with `--bare`: with none) and learns from the teacher's answers alone: tickets that
  models/demo makes up go without their queues, and an answer is kept if it is one of the queues. 120 chats of reading
  are replayed, so that it is not forgotten.
- Both, and the prompt without an adapter, answer the suite `tickets`: phrasings and names that no training had. The
  gate asks that at most so many points are lost against the teacher (the interval's end), that the prompted baseline
  is beaten, that reading is kept within the suite's margin, and that the input tokens fall by the stated share.
- Intervals: 95%, Wilson's for shares, paired bootstrap over questions for differences and savings. Tokens and costs are
  those of the receipts; prices are the demo's.
- Killed and run again with the same folder it goes on.

What it does not show

- That this adapter needed the training: `ticket-sorter@2` alone, with the short prompt, had 0.928 right on the same
  questions (benchmarks/results/tickets.md), for it was trained with prompts of many kinds.
- Larger models. The shipped model follows no prompt for this task, which is why the teacher has an adapter beside it.
- Times under a load of other kinds: most of the teacher's prefix comes from the cache, so that its tokens are cheap.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.distillation import project
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from trivet.cli.distill.comparison import AMOUNTS


def main() -> None:
    """Distil and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the project; kept, so that it can go on")
    parser.add_argument("--questions", type=int, default=2000, help="that the teacher is asked")
    parser.add_argument("--steps", type=int, default=200, help="of the training")
    parser.add_argument("--bare", action="store_true", help="begin with the bare base (about 1,000 steps)")
    parser.add_argument("--loss", type=float, default=5.0, help="points that the student may lose")
    parser.add_argument("--saving", type=float, default=0.7, help="share of the input tokens that has to go")
    parser.add_argument("--to", type=Path, help="folder for distillation.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    began = time.monotonic()
    recipe = project.write(
        given.folder.resolve(),
        questions=given.questions,
        steps=given.steps,
        loss=given.loss,
        saving=given.saving,
        bare=given.bare,
    )
    found = _distilled(recipe)
    lines = list(_page(found, time.monotonic() - began))
    page = ["# Distillation", *method(__doc__), "", *lines, ""]
    text = "\n".join([*page, *machine_lines(machine), f"- `{command('distillation')}`"]) + "\n"
    if given.to is None:
        print(text)
    else:
        (given.to / "distillation.md").write_text(text)


def _distilled(recipe: Path) -> dict[str, Any]:
    """The command's JSON; its exit code is 1 where the student is not accepted, which is a result as well."""
    folder = recipe.parent
    places = ["--config", str(folder / "trivet.yaml"), "--data-dir", str(folder / "data")]
    called = [sys.executable, "-m", "trivet.cli", "distill", str(recipe), *places, "--concurrency", "16", "--json"]
    done = subprocess.run(called, stdout=subprocess.PIPE, check=False, cwd=ROOT)
    if not done.stdout:
        raise SystemExit(f"trivet distill ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    if "accepted" not in found:
        raise SystemExit(f"trivet distill: {found}")
    return found


def _page(found: dict[str, Any], seconds: float) -> Iterator[str]:
    taught, manifest = found["taught"], found["manifest"]
    yield f"{'Accepted' if found['accepted'] else 'Not accepted'}; {seconds:.0f} seconds in this run."
    yield ""
    yield from table(
        ("condition", "found", ""),
        [(check["name"], check["found"], "holds" if check["passed"] else "FAILS") for check in found["checks"]],
    )
    for part in found["report"]["parts"]:
        yield from ("", f"## {'General questions' if part['name'] == 'general' else 'Questions'}, n = {part['n']}", "")
        rows = [(arm["name"], _share(arm["estimates"]["correct"]), _points(arm)) for arm in part["arms"]]
        yield from table(("arm", "correct % [95%]", f"points against {part['baseline']} [95%]"), rows)
    yield from ("", "## A request, in the mean", "")
    yield from table(("amount", "teacher", "student", "less [95%]"), [_saving(one) for one in found["savings"]])
    yield from ("", "## What was learned", "")
    left_out = {**taught["left_out"]["questions"], **taught["left_out"]["answers"]}
    told = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "none"
    cost = taught["cost_nano_usd"]
    yield f"- {taught['kept']:,} of {taught['asked']:,} answers of the teacher were kept; left out: {told}"
    yield f"- the teacher's answers cost {'an unknown sum' if cost is None else f'${cost / 1e9:.4f}'}"
    yield (
        f"- {manifest['recipe']['steps']:,} steps, {manifest['data']['tokens_seen']:,} tokens of "
        f"{manifest['data']['chats']:,} chats"
    )


def _share(one: dict[str, Any]) -> str:
    return f"{100 * one['value']:.1f} [{100 * one['interval']['low']:.1f}, {100 * one['interval']['high']:.1f}]"


def _points(arm: dict[str, Any]) -> str:
    if arm["comparison"] is None:
        return ""
    one = arm["comparison"]["difference"]
    return f"{100 * one['value']:+.1f} [{100 * one['interval']['low']:+.1f}, {100 * one['interval']['high']:+.1f}]"


def _saving(one: dict[str, Any]) -> tuple[str, str, str, str]:
    teacher, student = (f"{one[name]:,.1f}" if one[name] is not None else "–" for name in ("teacher", "student"))
    if one["share"] is None:
        return AMOUNTS[one["name"]], teacher, student, "–"
    ends = one["interval"]
    between = "" if ends is None else f" [{100 * ends['low']:.1f}, {100 * ends['high']:.1f}]"
    return AMOUNTS[one["name"]], teacher, student, f"{100 * one['share']:.1f}%{between}"


if __name__ == "__main__":
    main()
