"""From ranks to tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measuring.machine import machine_lines
from benchmarks.retrieval_quality.report import Floats, Ranks, difference, scores, with_interval
from benchmarks.retrieval_quality.worded import table
from benchmarks.searching.halves import DENSE, HYBRID, TERMS
from benchmarks.second_manual.manual import LISTED
from benchmarks.second_manual.run import Measured
from trivet.evaluation.statistics import Bootstrap

COLUMNS = ("hit@1", "hit@10", "MRR@10")
GROUPS = ("tables and lists", "others")
MODES = (HYBRID, DENSE, TERMS)
Earlier = Mapping[str, Ranks]  # by manual, those of the default's hybrid in another run


def report(described: Mapping[str, Any], all_measured: Sequence[Measured], earlier: Earlier | None) -> list[str]:
    """Markdown: each manual for itself, then the tables and lists of all, and what became of an earlier run."""
    lines = ["# Quality of retrieval on further manuals", "", *machine_lines(described)]
    for measured in all_measured:
        lines += _manual(measured)
    if len(all_measured) > 1:
        lines += ["", "## Answers in tables and lists, all manuals: MRR@10, hybrid, this less default", ""]
        lines += _together(all_measured)
    if earlier is not None:
        lines += ["", "## Beside the earlier run: MRR@10, hybrid, the passage that answers", ""]
        lines += _since(all_measured, earlier)
    return lines


def _manual(measured: Measured) -> list[str]:
    of = measured.manual.name
    default, *_ = measured.results.values()
    lines = ["", f"## {of}: the passage that answers", "", *_modes(default.passages)]
    lines += ["", f"## {of}: a passage of the right page", "", *_modes(default.pages)]
    lines += ["", f"## {of}: one setting changed, hybrid, the passage that answers", "", *_settings(measured)]
    lines += ["", f"## {of}: by kind of question, MRR@10, the passage that answers", "", *_kinds(measured)]
    if any(one.kind not in LISTED for one in measured.questions):
        lines += ["", f"## {of}: answers in tables and lists, and the others, MRR@10, hybrid, this less default", ""]
        lines += _apart(measured)
    number = len(next(iter(measured.spelt.values())))
    lines += ["", f"## {of}: misspelt words, {number} questions, the passage that answers", ""]
    lines += table(measured.spelt, "misspelt, not corrected")
    lines += ["", f"## {of}: not among the first ten (default, hybrid)", ""]
    missed = [
        f"- {one.text} ({one.kind})"
        for one, rank in zip(measured.questions, default.passages[HYBRID], strict=True)
        if rank is None
    ]
    return lines + (missed or ["None."])


def _modes(ranks: Mapping[str, Ranks]) -> list[str]:
    bootstrap = Bootstrap(len(ranks[HYBRID]))
    base = scores(ranks[HYBRID])
    lines = _head("search", *COLUMNS, "MRR@10, hybrid less this")
    for mode in MODES:
        values = scores(ranks[mode])
        other = "" if mode == HYBRID else difference(bootstrap, base[:, -1] - values[:, -1])
        lines.append(f"| {mode} | {' | '.join(_cells(bootstrap, values))} | {other} |")
    return lines


def _settings(measured: Measured) -> list[str]:
    default, *_ = measured.results
    base = scores(measured.results[default].passages[HYBRID])
    bootstrap = Bootstrap(len(base))
    lines = _head("setting", *COLUMNS, "MRR@10, this less default")
    for name, asked in measured.results.items():
        values = scores(asked.passages[HYBRID])
        other = "" if name == default else difference(bootstrap, values[:, -1] - base[:, -1])
        lines.append(f"| {name} | {' | '.join(_cells(bootstrap, values))} | {other} |")
    return lines


def _kinds(measured: Measured) -> list[str]:
    default, *others = measured.results
    of = {mode: measured.results[default].passages[mode] for mode in MODES}
    of |= {name: measured.results[name].passages[HYBRID] for name in others}
    lines = _head("kind", "questions", *of)
    for kind in dict.fromkeys(one.kind for one in measured.questions):
        chosen = [n for n, one in enumerate(measured.questions) if one.kind == kind]
        means = [f"{scores([ranks[n] for n in chosen])[:, -1].mean():.3f}" for ranks in of.values()]
        lines.append(f"| {kind} | {len(chosen)} | {' | '.join(means)} |")
    return lines


def _apart(measured: Measured) -> list[str]:
    groups = _groups(measured)
    bootstraps = [Bootstrap(len(chosen)) for chosen in groups]
    lines = _head("setting", *(f"{what}: {len(chosen)}" for what, chosen in zip(GROUPS, groups, strict=True)))
    for name, values in _differences(measured):
        cells = [difference(one, values[chosen]) for one, chosen in zip(bootstraps, groups, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _together(all_measured: Sequence[Measured]) -> list[str]:
    listed = {
        measured.manual.name: {name: values[_groups(measured)[0]] for name, values in _differences(measured)}
        for measured in all_measured
    }
    first, *_ = listed.values()
    number = sum(len(_groups(measured)[0]) for measured in all_measured)
    bootstrap = Bootstrap(number)
    lines = _head("setting", f"all {number}", *listed)
    for name in first:
        each = [of[name] for of in listed.values()]
        together = difference(bootstrap, _joined(each))
        lines.append(f"| {name} | {together} | {' | '.join(f'{one.mean():+.3f}' for one in each)} |")
    return lines


def _since(all_measured: Sequence[Measured], earlier: Earlier) -> list[str]:
    """Each group of each manual that the earlier run has, and the tables and lists of all."""
    pairs: dict[str, tuple[Floats, Floats]] = {}
    for measured in (one for one in all_measured if one.manual.name in earlier):
        default, *_ = measured.results.values()
        now = scores(default.passages[HYBRID])[:, -1]
        before = scores(earlier[measured.manual.name])[:, -1]
        for what, chosen in zip(GROUPS, _groups(measured), strict=True):
            if chosen:
                pairs[f"{measured.manual.name}, {what}"] = before[chosen], now[chosen]
    listed = [pair for name, pair in pairs.items() if name.endswith(GROUPS[0])]
    if len(listed) > 1:
        pairs[f"all, {GROUPS[0]}"] = (_joined(pair[0] for pair in listed), _joined(pair[1] for pair in listed))
    lines = _head("questions", "number", "earlier", "now", "difference")
    for name, (before, now) in pairs.items():
        bootstrap = Bootstrap(len(now))
        cells = (with_interval(bootstrap, before), with_interval(bootstrap, now), difference(bootstrap, now - before))
        lines.append(f"| {name} | {len(now)} | {' | '.join(cells)} |")
    return lines


def _groups(measured: Measured) -> list[list[int]]:
    """The questions of tables and lists, and the others."""
    return [
        [n for n, one in enumerate(measured.questions) if (one.kind in LISTED) is listed] for listed in (True, False)
    ]


def _differences(measured: Measured) -> list[tuple[str, Floats]]:
    """Of each setting, by question."""
    default, *others = measured.results
    base = scores(measured.results[default].passages[HYBRID])[:, -1]
    return [(name, scores(measured.results[name].passages[HYBRID])[:, -1] - base) for name in others]


def _joined(values: Iterable[Floats]) -> Floats:
    return np.concatenate([*values])


def _cells(bootstrap: Bootstrap, values: Floats) -> list[str]:
    return [with_interval(bootstrap, values[:, column]) for column in range(len(COLUMNS))]


def _head(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
