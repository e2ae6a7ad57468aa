"""The decision procedure: one question after the other, and what follows from the answers. A pure function.

The order: is there a gap; can the model do it when told and given the context; is the gap knowledge, and does the
corpus stand still; is it behaviour; is the volume or the latency such that the prompt should become an adapter. A step
that is open stops it where it decides what follows: advice is never rounded up from too little.
"""

from __future__ import annotations

from trivet.advice.amounts import months, training_pays_after
from trivet.advice.behaviour import FEWEST, RELIABLE, Behaviour, behaviour
from trivet.advice.capability import capability, gap
from trivet.advice.comparison import Comparisons, best
from trivet.advice.economy import Economy, economy
from trivet.advice.evidence import ArmEvidence, Evidence, Knowledge
from trivet.advice.knowledge import knowledge
from trivet.advice.result import Action, Advice, Finding, Step

DISTILLED = (1000, 2000)  # answers of a teacher


def advise(evidence: Evidence) -> Advice:
    """What the evidence says; `Action.COLLECT` if it says too little."""
    return _Procedure(evidence).run()


class _Procedure:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._comparisons = Comparisons(evidence)
        self._current = evidence.arm(evidence.current)
        self._steps: list[Step] = []

    def run(self) -> Advice:
        evidence, comparisons = self._evidence, self._comparisons
        quality = gap(evidence, comparisons)
        self._steps.append(quality)
        if quality.finding is Finding.NO:
            return self._cheaper()
        able = capability(evidence, comparisons)
        self._steps.append(able.step)
        if able.step.finding is Finding.OPEN:
            return self._collect()
        if able.step.finding is Finding.NO:
            return self._incapable(able.teacher)
        known = knowledge(evidence, comparisons)
        self._steps += known.steps
        if known.chosen is None:
            return self._collect()
        trained = behaviour(evidence, comparisons, known.chosen)
        self._steps.append(trained.step)
        if trained.open_arm is not None and trained.hardly_left and known.chosen is not self._current.knowledge:
            # What is shown to help is advised; whether an adapter would help further is another question.
            return self._without_adapter(trained.open_arm, known.chosen, trained.step.needs)
        if trained.step.finding is Finding.OPEN or trained.open_arm is None:
            return self._collect()
        if trained.step.finding is Finding.YES:
            return self._with_adapter(trained, known.chosen)
        saving = economy(evidence, comparisons, trained.open_arm, known.chosen)
        self._steps.append(saving.step)
        if saving.step.finding is Finding.OPEN:
            return self._collect()
        if saving.distil and known.chosen is self._current.knowledge:
            return self._distil(saving, trained.open_arm)
        return self._without_adapter(trained.open_arm, known.chosen)

    def _cheaper(self) -> Advice:
        """The current arm is good enough: what is left is what it costs."""
        current = self._current
        if current.adapter:
            return self._advice(Action.KEEP, f"{current.name} is good enough", current)
        saving = economy(self._evidence, self._comparisons, current, current.knowledge)
        self._steps.append(saving.step)
        if saving.step.finding is Finding.OPEN:
            return self._collect()
        if saving.distil:
            return self._distil(saving, current)
        return self._advice(Action.KEEP, f"{current.name} is good enough, and nothing makes a change pay", current)

    def _incapable(self, teacher: ArmEvidence | None) -> Advice:
        if teacher is None:
            reason = "the model does not show the capability with any leg: a prompt, an index or an adapter will not do"
            return self._advice(Action.OTHER_MODEL, reason, None)
        reason = f"the model does not show the capability, {teacher.name} does: it can be the teacher"
        return self._advice(Action.DISTIL, reason, None, examples=DISTILLED)

    def _with_adapter(self, trained: Behaviour, chosen: Knowledge) -> Advice:
        arm = trained.adapter
        if arm is not None and arm is self._current:
            return self._advice(Action.KEEP, f"{arm.name} is what the evidence asks for", arm)
        combined = chosen is not Knowledge.NONE
        action = Action.COMBINE if combined else Action.TRAIN
        what = f"{_in_words(chosen)} and an adapter" if combined else "an adapter"
        if arm is not None:
            return self._advice(action, f"{what}: {arm.name} is measured and shown to be worth it", arm)
        examples = (min(max(self._evidence.examples, FEWEST), RELIABLE), RELIABLE)
        reason = (
            f"{what}: the gap is behaviour, and there are examples; evaluate it against the prompt before it serves"
        )
        return self._advice(action, reason, None, examples=examples)

    def _without_adapter(self, arm: ArmEvidence, chosen: Knowledge, needs: tuple[str, ...] = ()) -> Advice:
        current = self._current
        if chosen is current.knowledge and not current.adapter:
            difference = self._comparisons.difference(arm, current)
            if arm is current or not difference.gains(self._evidence.wishes.margin):
                return self._advice(Action.KEEP, f"no other leg is shown to help {current.name}", current)
            reason = f"the legs stay, {arm.name} uses them better: {difference} against {current.name}"
            return self._advice(Action.KEEP, reason, arm)
        if chosen is Knowledge.NONE or (chosen is current.knowledge and current.adapter):
            return self._advice(Action.SIMPLIFY, f"{arm.name} is as good with less", arm)
        action = Action.STUFF if chosen is Knowledge.STUFFED else Action.RETRIEVE
        return self._advice(action, f"the gap is knowledge: {_in_words(chosen)}", arm, needs=needs)

    def _distil(self, saving: Economy, teacher: ArmEvidence) -> Advice:
        if saving.adapter is not None:
            reason = f"{saving.adapter.name} keeps what {teacher.name} has right with fewer tokens"
            return self._advice(Action.DISTIL, reason, saving.adapter)
        reason = f"the instructions of {teacher.name} are stable and dear: let it teach an adapter that needs none"
        return self._advice(Action.DISTIL, reason, None, examples=DISTILLED)

    def _collect(self) -> Advice:
        step = next(step for step in reversed(self._steps) if step.finding is Finding.OPEN)
        needs = tuple(dict.fromkeys(need for one in self._steps if one.finding is Finding.OPEN for need in one.needs))
        lead = best(arm for arm in self._evidence.asked if arm.own_model)
        reason = f"{step.question[0].lower()}{step.question[1:-1]}: the evidence does not say"
        return self._advice(Action.COLLECT, reason, lead, needs=needs)

    def _advice(
        self,
        action: Action,
        reason: str,
        arm: ArmEvidence | None,
        *,
        examples: tuple[int, int] | None = None,
        needs: tuple[str, ...] = (),
    ) -> Advice:
        evidence, current = self._evidence, self._current
        meant = None if action is Action.COLLECT else arm
        return Advice(
            action=action,
            reason=reason,
            steps=tuple(self._steps),
            current=current.name,
            current_right=self._comparisons.share(current),
            arm="" if arm is None else arm.name,
            expected=None if arm is None else self._comparisons.share(arm),
            examples=examples,
            months=months(evidence, current, meant, distilled=action is Action.DISTIL and meant is None),
            pays_after=training_pays_after(evidence, current, meant, action),
            needs=needs,
        )


def _in_words(chosen: Knowledge) -> str:
    return "the corpus in the cached prefix" if chosen is Knowledge.STUFFED else "retrieval"
