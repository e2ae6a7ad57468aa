"""A route's detector as it is kept between two lives of the gateway."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from trivet.drift.detector import Detector, NewTopic
from trivet.drift.reference import CONTINUOUS, GROUPS, Shape, Vectors

_FORMAT = 1


@dataclass(slots=True)
class RouteDrift:
    """`model`: which embedding model its vectors are of. `collected`: of the reference, until it is whole. Times are
    seconds since 1970; 0 for never. `new`: of the last alarm."""

    model: str = ""
    collected: list[NDArray[np.float32]] = field(default_factory=list)
    detector: Detector | None = None
    questions: int = 0
    alarmed_at: float = 0.0
    alarms: int = 0
    new: tuple[NewTopic, ...] = ()


def save(state: RouteDrift, folder: Path, name: str, *, status: Mapping[str, Any]) -> None:
    """Write `<name>.npz`, and `<name>.json` with what people are told; each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"format": _FORMAT, "model": state.model, "questions": state.questions, "alarms": state.alarms}
    about |= {"alarmed_at": state.alarmed_at, "new": [asdict(topic) for topic in state.new]}
    arrays: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)}
    detector = state.detector
    if detector is None:
        arrays["collected"] = np.stack(state.collected) if state.collected else np.zeros((0, 0), dtype=np.float32)
    else:
        game = detector.martingale
        arrays |= {"mean": detector.shape.mean, "components": detector.shape.components}
        arrays |= {"groups": detector.shape.groups, "seen": np.array([np.asarray(seen) for seen in detector.seen])}
        arrays |= {"in_group": detector.in_group, "capital": game.capital}
        arrays["game"] = np.array([game.reserve, float(game.steps)])
    path, told = folder / f"{name}.npz", folder / f"{name}.json"
    with (temporary := path.with_suffix(".npz.new")).open("wb") as stream:
        np.savez(stream, **arrays)
    temporary.replace(path)
    (written := told.with_suffix(".json.new")).write_text(json.dumps(status))
    written.replace(told)


def load(folder: Path, name: str) -> RouteDrift | None:
    """What was written; None if there is nothing, or nothing that can be read."""
    try:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return _read({key: arrays[key] for key in arrays.files})
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None


def _read(arrays: dict[str, Any]) -> RouteDrift:
    about = json.loads(bytes(arrays["about"]))
    if about["format"] != _FORMAT:
        raise ValueError("another version's")
    new = tuple(NewTopic(topic["share"], tuple(topic["requests"])) for topic in about["new"])
    state = RouteDrift(about["model"], [], None, about["questions"], about["alarmed_at"], about["alarms"], new)
    if "collected" in arrays:
        state.collected = list(_vectors(arrays["collected"]))
        return state
    shape = Shape(arrays["mean"], arrays["components"], arrays["groups"])
    dimension = len(shape.mean)
    if shape.groups.shape != (GROUPS, dimension) or arrays["seen"].shape[0] != CONTINUOUS:
        raise ValueError("another form")
    detector = Detector(shape)
    detector.seen = [array("d", seen) for seen in arrays["seen"]]
    detector.in_group = arrays["in_group"]
    game = detector.martingale
    if arrays["capital"].shape != game.capital.shape:
        raise ValueError("another form")
    game.capital, game.reserve, game.steps = arrays["capital"], float(arrays["game"][0]), int(arrays["game"][1])
    state.detector = detector
    return state


def _vectors(stacked: Vectors) -> Vectors:
    if stacked.dtype != np.float32 or stacked.ndim != 2:
        raise ValueError("another form")
    return stacked
