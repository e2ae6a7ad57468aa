"""Which chats an arm of a suite answers wrongly."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivet.cli.evaluation.run import EvaluationOptions, answers_of
from trivet.config import Config
from trivet.datasets.row import plain
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.data import MOST_EARLIER, Example
from trivet.evaluation.metrics import combined, score
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import Form, ReplyReader, line_of
from trivet.evaluation.suite import Suite
from trivet.training.files.chat_files import LocatedChat
from trivet.training.files.json_lines import MOST_WEIGHT


@dataclass(frozen=True, slots=True)
class Weighed:
    """`lines`: the chats, those with more weight that were answered wrongly. `left_out`: how many are not in it, and
    `not_judged`: how many stay as they are, by the reason. `digest`: of what decided the answers."""

    lines: Sequence[Mapping[str, Any]]
    judged: int
    wrong: int
    left_out: Counter[str]
    not_judged: Counter[str]
    digest: str


def weighed(
    config: Config,
    suite: Suite,
    arm: Arm,
    chats: Sequence[LocatedChat],
    taken: frozenset[str],
    failures: int,
    options: EvaluationOptions,
) -> Weighed:
    """Ask `arm` what it has not been asked yet. `taken`: questions that evaluations ask, as `plain` gives them.

    FailedPrecondition if there is nothing to ask, or if no request was answered.
    """
    left_out, not_judged = Counter[str](), Counter[str]()
    kept = [chat for chat in chats if not _is_taken(chat, taken)]
    left_out["an evaluation asks it"] += len(chats) - len(kept)
    asked: dict[int, Example] = {}
    for number, chat in enumerate(kept):
        made = example_of(chat, suite.form)
        if isinstance(made, str):
            not_judged[made] += 1
        else:
            asked[number] = made
    if not asked:
        reasons = ", ".join(f"{count:,}: {reason}" for reason, count in (left_out + not_judged).most_common())
        raise FailedPrecondition(f"no chat can be judged by the suite {suite.name} ({reasons})")
    examples = [*{one.id: one for one in asked.values()}.values()]
    outcomes, digest = answers_of(config, suite, f"weigh-{suite.name}", examples, arm, options)
    verdicts = _verdicts(suite, asked, outcomes, not_judged)
    wrong = {number for number, right in verdicts.items() if not right}
    lines = [_line(chat, failures if number in wrong else 1) for number, chat in enumerate(kept)]
    return Weighed(lines, len(verdicts), len(wrong), +left_out, not_judged, digest)


def example_of(chat: LocatedChat, form: Form) -> Example | str:
    """The chat's last question with its right answer; or why no suite could judge an answer to it.

    Turns that are only shown, such as a prompt's worked examples, are not asked, and neither is the system's text: the
    arm has its own.
    """
    *turns, answer = (one for one in chat.chat if one["role"] != "system")
    if not answer.get("learned", True):
        return "its last message is only shown"
    shown = [turn for at, turn in enumerate(turns) if not _only_shown(turns, at)]
    if [turn["role"] for turn in shown] != ["user", *["assistant", "user"] * (len(shown) // 2)]:
        return "it is not a question, or several and their answers in turn"
    if len(shown) - 1 > MOST_EARLIER:
        return f"it has more than {MOST_EARLIER} earlier turns"
    line = line_of(form)(answer["content"])
    if line is None:
        return "its last message is not in the suite's form"
    *earlier, question = (turn["content"] for turn in shown)
    name = hashlib.sha256(chat.asked.encode()).hexdigest()[:24]
    return Example(name, question, documents=chat.documents, earlier=tuple(earlier)).judged_by(line)


def _only_shown(turns: Sequence[Any], at: int) -> bool:
    """Whether it is an answer that is not learned, or the question before one."""
    here, following = turns[at], turns[at + 1] if at + 1 < len(turns) else None
    return not here.get("learned", True) or (
        here["role"] == "user" and following is not None and not following.get("learned", True)
    )


def _is_taken(chat: LocatedChat, taken: frozenset[str]) -> bool:
    return any(one["role"] == "user" and plain(one["content"]) in taken for one in chat.chat)


def _verdicts(
    suite: Suite, asked: Mapping[int, Example], outcomes: Mapping[str, Outcome], not_judged: Counter[str]
) -> dict[int, bool]:
    """By number, whether the answer was right."""
    reader, found = ReplyReader(suite.form), dict[int, bool]()
    for number, example in asked.items():
        outcome = outcomes[example.id]
        right = combined(score(example, outcome, reader), suite.main.correct)
        if outcome.error:
            not_judged["the request failed"] += 1
        elif right is None:
            not_judged["none of the suite's metrics applies to it"] += 1
        else:
            found[number] = right == 1.0
    if not found:
        failed = next((outcome.error for outcome in outcomes.values() if outcome.error), "")
        raise FailedPrecondition(f"no answer could be judged by the suite {suite.name}{failed and f': {failed}'}")
    return found


def _line(chat: LocatedChat, times: int) -> Mapping[str, Any]:
    weight = min(chat.weight * times, MOST_WEIGHT)
    weighs = {"weight": weight} if weight > 1 else {}
    documents = {"document": list(chat.documents)} if chat.documents else {}
    return {"messages": chat.chat, **weighs, **documents}
