"""`trivet prompt compile`: search for a better version of a prompt, judge it on the suite, write it as the next one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trivet import __version__
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import print_json
from trivet.cli.options.config import LoadConfig, config_options
from trivet.config import Config
from trivet.errors import ConfigError, FailedPrecondition

if TYPE_CHECKING:
    from trivet.cli.prompt.compile.candidate import Candidate
    from trivet.cli.prompt.compile.material import Material
    from trivet.cli.prompt.compile.trials import Trials
    from trivet.evaluation.arms import Arm
    from trivet.evaluation.gate import Verdict
    from trivet.evaluation.report import Report
    from trivet.evaluation.suite import Suite

CURRENT, COMPILED = "current", "compiled"
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens")


@click.command("compile", short_help="Search for a better version of a prompt.")
@click.argument("suite")
@click.option("--arm", "name", default="", help="The arm whose prompt is compiled; default: the suite's baseline.")
@click.option(
    "--data",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Questions with right answers to learn from, as a suite's data; repeatable.",
)
@click.option("--shots", type=click.IntRange(0, 16), default=4, show_default=True, help="Worked examples at most.")
@click.option(
    "--candidates", type=click.IntRange(1, 64), default=8, show_default=True, help="Sets of worked examples to draw."
)
@click.option("--reflect", metavar="BACKEND", help="Search instructions too, with this capable backend's advice.")
@click.option(
    "--calls",
    type=click.IntRange(10),
    default=300,
    show_default=True,
    help="Answers that the instruction search judges.",
)
@click.option(
    "--validation",
    type=click.IntRange(4),
    default=100,
    show_default=True,
    help="Questions that candidates are chosen by.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the split into questions to learn and to judge."
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Percentage points by which it must beat the current version.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Requests in flight at a time."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
def compile_(
    load: LoadConfig,
    suite: str,
    name: str,
    files: tuple[Path, ...],
    shots: int,
    candidates: int,
    reflect: str | None,
    calls: int,
    validation: int,
    seed: int,
    margin: float,
    concurrency: int,
    as_json: bool,
) -> None:
    """Search for a better version of the prompt of one arm of SUITE, and write it as the next version.

    DSPy chooses worked examples out of --data, on any model; with --reflect, GEPA rewrites the system text first, which
    takes a backend that is good at it. Questions that an evaluation asks are left out. The suite judges what was found
    against the version that there is, and it is written only if it is better, by --margin points and with an interval
    above zero; no version is ever changed. Answers are kept: the same command, interrupted, asks the rest.

    Exit codes: 0 a version was written, 1 none was better or something failed, 2 wrong usage.

    \b
    Examples:
      trivet prompt compile tickets --data tickets-for-prompts.jsonl
      trivet prompt compile tickets --arm prompt --data more.jsonl --shots 3 --candidates 4
      trivet prompt compile tickets --data more.jsonl --reflect api --calls 200
    """
    from trivet.cli.data.suites import asked_by, suite_files  # here, because others start faster without
    from trivet.cli.evaluation.run import Evaluation, EvaluationOptions, find_suite
    from trivet.cli.prompt.compile import material
    from trivet.cli.prompt.compile.trials import Trials
    from trivet.evaluation.runner import Pace
    from trivet.evaluation.suite import load_suite

    if not shots and reflect is None:
        raise click.UsageError("--shots 0 without --reflect leaves nothing to search")
    config, path = load(), find_suite(suite)
    whole = load_suite(path)
    arm = _arm(whole, name or whole.main.baseline)
    if reflect is not None and reflect not in config.file.backends:
        raise ConfigError([f"{config.path}:1: backends: no {reflect!r}; known: {', '.join(config.file.backends)}"])
    taken = asked_by(suite_files(load, [path])).questions
    learned = material.gather(files, whole.form, taken, validation=validation, training=10 * validation, seed=seed)
    narrowed = replace(whole, main=replace(whole.main, arms=(arm,), baseline=arm.name), general=None)
    options = EvaluationOptions(pace=Pace(concurrency))
    evaluation = Evaluation(config, narrowed, options)
    trials = Trials(config, narrowed, arm, evaluation, options.pace)
    search = {"shots": shots, "candidates": candidates, "reflect": reflect, "calls": calls, "concurrency": concurrency}
    with interrupted("the answers so far are kept. The same command asks the others"):
        start, best = _searched(config, narrowed, arm, trials, learned, search)
        if best.digest == start.digest:
            raise FailedPrecondition(
                f"nothing better than {arm.prompt} was found on {len(learned.validation)} questions: more "
                "--candidates, more --data, or another --seed"
            )
        judged = Evaluation(
            config, _compared(narrowed, arm, start, best, trials.folder), replace(options, baseline=CURRENT)
        )
        report = judged.run()
        verdict = judged.judge(report, COMPILED, margin)
    told = _told(config, narrowed, arm, learned, search, report, verdict, (start, best), trials.asked)
    _end(config, narrowed, arm, best, told, verdict, as_json=as_json)


def _arm(suite: Suite, name: str) -> Arm:
    found = next((arm for arm in suite.main.arms if arm.name == name), None)
    if found is None:
        known = ", ".join(arm.name for arm in suite.main.arms)
        raise ConfigError([f"{suite.path}:1: arms: no arm {name!r}; known: {known}"])
    if found.stuffed is not None:
        raise ConfigError([f"{suite.path}:1: arms.{name}.stuffed: its prompt holds a corpus, expected an arm without"])
    return found


def _searched(
    config: Config, suite: Suite, arm: Arm, trials: Trials, learned: Material, search: dict[str, Any]
) -> tuple[Candidate, Candidate]:
    """What there is, and the best that was found. FailedPrecondition if a search's library is missing."""
    from trivet.cli.evaluation.config import prompt_file
    from trivet.cli.prompt.compile.candidate import read_candidate
    from trivet.types.variant import VersionRef

    start = best = read_candidate(VersionRef.parse(arm.prompt), prompt_file(config, suite, arm))
    answers = {example.id: answer for example, answer in learned.training}
    try:
        with trials.serving(start, search["reflect"]):
            if search["reflect"] is not None:
                from trivet.cli.prompt.compile.instructions import instructions

                training = [example for example, _ in learned.training]
                best = instructions(
                    trials, best, training, learned.validation, told=lambda one: answers.get(one.id, ""),
                    calls=search["calls"], concurrency=search["concurrency"],
                )  # fmt: skip
            if search["shots"]:
                from trivet.cli.prompt.compile.few_shot import few_shot

                best = few_shot(
                    trials, best, learned.training, learned.validation, shots=search["shots"],
                    candidates=search["candidates"], concurrency=search["concurrency"],
                )  # fmt: skip
    except ModuleNotFoundError as error:
        if error.name not in {"dspy", "gepa"}:
            raise
        raise FailedPrecondition(f"compiling needs {error.name}: pip install 'trivet[compile]'") from error
    return start, best


def _compared(suite: Suite, arm: Arm, start: Candidate, best: Candidate, folder: Path) -> Suite:
    arms = tuple(
        replace(arm, name=name, prompt=f"candidate-{one.digest}@1")
        for name, one in ((CURRENT, start), (COMPILED, best))
    )
    prompts = folder / "candidates"
    return replace(suite, main=replace(suite.main, arms=arms, baseline=CURRENT), prompts=prompts)


def _told(
    config: Config, suite: Suite, arm: Arm, learned: Material, search: dict[str, Any], report: Report, verdict: Verdict,
    candidates: tuple[Candidate, Candidate], asked: int,
) -> dict[str, Any]:  # fmt: skip
    """Where the version comes from, and what it is worth."""
    part = report.parts[0]
    arms = {one.name: one for one in part.arms}
    difference = arms[COMPILED].comparison
    assert difference is not None
    libraries = [library for library, used in (("dspy", search["shots"]), ("gepa", search["reflect"])) if used]
    return {
        "compiled_from": arm.prompt,
        "compiled_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "trivet": __version__,
        "libraries": {name: version(name) for name in libraries},
        "search": {**search, "answers_asked": asked},
        "data": {
            "digest": learned.digest,
            "training": len(learned.training),
            "validation": len(learned.validation),
            "left_out": dict(learned.left_out.most_common()),
        },
        "suite": {"name": suite.name, "questions": part.n, "arm": arm.name, "answers": report.digest},
        "models": _models(config, arm),
        "correct": {name: _estimate(arms[name].estimates["correct"]) for name in (CURRENT, COMPILED)},
        "difference": _estimate(difference.difference),
        "passed": verdict.passed,
        "tokens": {name: {kind: arms[name].estimates[kind].value for kind in _TOKENS} for name in (CURRENT, COMPILED)},
        "shots": {CURRENT: len(candidates[0].shots), COMPILED: len(candidates[1].shots)},
    }


def _models(config: Config, arm: Arm) -> dict[str, str]:
    """By backend, the digest of its model's files: with another model, compile again."""
    from trivet.training.folder import fingerprint

    wanted = [arm.backend] if arm.backend is not None else list(config.file.backends)
    found = {}
    for name in wanted:
        folder = config.model_folder(name)
        if (folder / "tokenizer.json").is_file() and (folder / "config.json").is_file():
            found[name] = fingerprint(folder)
    return found


def _estimate(one: Any) -> dict[str, Any]:
    interval = one.interval
    return {
        "value": one.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "n": one.n,
    }


def _end(
    config: Config, suite: Suite, arm: Arm, best: Candidate, told: dict[str, Any], verdict: Verdict, *, as_json: bool
) -> None:
    from trivet.cli.evaluation.config import prompt_file
    from trivet.cli.prompt.compile.versions import publish

    written = None
    if verdict.passed:
        written = publish(prompt_file(config, suite, arm).parent, best.text, told)
    if as_json:
        print_json({**told, "written": None if written is None else str(written), "text": best.text})
    else:
        _show(told)
        for check in verdict.checks:
            click.secho(
                f"{'holds' if check.passed else 'FAILS'}  {check.name}: {check.found}",
                fg="green" if check.passed else "red",
            )
        if verdict.advice:
            click.echo(verdict.advice)
        said = "nothing is written" if written is None else f"written: {written}"
        click.secho(said, bold=True)
    if written is None:
        raise click.exceptions.Exit(1)


def _show(told: dict[str, Any]) -> None:
    for name in (CURRENT, COMPILED):
        right, tokens = told["correct"][name], told["tokens"][name]
        between = "" if right["low"] is None else f" [{right['low']:.3f} to {right['high']:.3f}]"
        counts = ", ".join(
            f"{tokens[kind]:.0f} {kind.replace('_tokens', '')}" for kind in _TOKENS if tokens[kind] is not None
        )
        click.echo(
            f"{name:9} {right['value']:.3f}{between} right of {right['n']:,}, {told['shots'][name]} worked examples; "
            f"tokens: {counts}"
        )
