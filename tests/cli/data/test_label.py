"""A person at the desk, and ratings that come as lines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from trivet.api.v1 import inference_pb2, interaction_pb2
from trivet.cli.data.desk import Desk, printable
from trivet.cli.data.ratings import MAX_LINE, Rating, read_ratings


def answers(count: int) -> Iterator[interaction_pb2.Interaction]:
    for number in range(1, count + 1):
        one = interaction_pb2.Interaction(request_id=f"r{number}", variant="secret", answer=f"answer {number}")
        one.messages.append(inference_pb2.Message(role="user", content=f"question {number}"))
        yield one


def sit(keys: str, count: int = 3) -> tuple[list[Rating], Result]:
    given: list[Rating] = []

    @click.command()
    def desk() -> None:
        click.echo(f"{Desk(answers(count), given.append).work()} rated")

    return given, CliRunner().invoke(desk, input=keys, catch_exceptions=False)


def test_a_key_rates_and_the_next_one_is_shown() -> None:
    given, shown = sit("gzb")  # z means nothing
    assert given == [Rating("r1", 1.0), Rating("r2", 0.0)]
    assert "question 3" in shown.output
    assert "secret" not in shown.output  # a variant's name could sway somebody


def test_a_correction_is_a_line_and_an_empty_one_says_nothing() -> None:
    given, shown = sit("c\ncbetter\nlwrong queue\nq")
    assert given == [Rating("r1", 0.0, corrected_text="better"), Rating("r2", label="wrong queue")]
    assert shown.output.count("question 1") == 2
    assert "2 rated" in shown.output


def test_what_was_rated_can_be_rated_again_and_what_was_skipped_seen_again() -> None:
    given, shown = sit("ugusugb")
    assert "this is the first one" in shown.output
    assert given == [Rating("r1", 1.0), Rating("r1", 1.0), Rating("r2", 0.0)]


@pytest.mark.parametrize("key", ["q", "\x03", "\x04", ""])
def test_somebody_may_leave_at_any_time(key: str) -> None:
    given, shown = sit(f"g{key}")
    assert (given, shown.exit_code) == ([Rating("r1", 1.0)], 0)


def test_a_text_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2J\x9bb\u202ec\n\td é 👩‍🚀") == "a�[2J�b�c\n\td é 👩‍🚀"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"request_id": "r1", "score": 1}', Rating("r1", 1.0)),
        ('{"request_id": "r1", "corrected_text": "x"}', Rating("r1", corrected_text="x")),
        ('{"request_id": "r1"}', "it says nothing"),
        ('{"request_id": "r1", "score": 2}', "score: Input should be less than or equal to 1"),
        ('{"request_id": "r1", "score": NaN}', "score: Input should be"),
        ('{"request_id": "r1", "sore": 1}', "sore: Extra inputs are not permitted"),
        ('{"score": 1}', "request_id: Field required"),
        ("[" * 100_000, "not valid JSON: "),
        ("[]", "(line): "),
        ("x" * (MAX_LINE + 5), "longer than 1,048,576 bytes"),
    ],
)
def test_each_line_is_a_rating_or_told_and_the_next_one_is_read(line: str, said: Rating | str) -> None:
    lines = io.BytesIO(f"{line}\n\n{json.dumps({'request_id': 'r2', 'score': 0.5})}\n".encode())
    [(first, found), (last, then)] = read_ratings(lines)
    assert (first, last, then) == (1, 3, Rating("r2", 0.5))
    assert found == said if isinstance(said, Rating) else isinstance(found, str) and found.startswith(said)
