"""`trivet feedback`: how good an earlier answer was."""

from __future__ import annotations

import click

from trivet.cli.console.output import print_json
from trivet.cli.options.target import target_options
from trivet.client import Client, Target


@click.command(short_help="Say how good an answer was.")
@click.argument("request_id")
@click.option("--score", type=click.FloatRange(0, 1), help="From 0 (bad) to 1 (good).")
@click.option("--label", default="", help="A word of your own, such as wrong_queue.")
@click.option("--corrected-text", default="", help="What the answer should have been.")
@click.option("--comment", default="", help="Anything else.")
@click.option("--json", "as_json", is_flag=True, help="Print what was recorded as a JSON object.")
@target_options("clients")
def feedback(
    target: Target,
    request_id: str,
    score: float | None,
    label: str,
    corrected_text: str,
    comment: str,
    as_json: bool,
) -> None:
    """Say how good the answer to the request REQUEST_ID was: a score, words, or both.

    Needs the key of the tenant that asked. What is said later takes the place of what was said before. While a rollout
    runs, the score counts for the variant that answered, until its step has ended.

    \b
    Examples:
      trivet feedback 2f6c9b0e8d1a4b57a3f0c2d4e6b81937 --score 1
      trivet feedback 2f6c9b0e8d1a4b57a3f0c2d4e6b81937 --score 0.2 --label wrong_queue --comment "it is a refund"
    """
    if score is None and not (label or corrected_text or comment):
        raise click.UsageError("nothing was said: expected --score, --label, --corrected-text or --comment")
    with Client(target) as client:
        client.submit_feedback(request_id, score=score, label=label, corrected_text=corrected_text, comment=comment)
    if as_json:
        said = {"score": score, "label": label, "corrected_text": corrected_text, "comment": comment}
        given = {name: value for name, value in said.items() if value not in (None, "")}
        print_json({"request_id": request_id, **given})
    else:
        click.echo(f"recorded for request {request_id}")
