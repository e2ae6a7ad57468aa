"""`trivet data` and its commands."""

from __future__ import annotations

import click

from trivet.cli.data.erase import erase
from trivet.cli.data.export import export
from trivet.cli.data.label import label
from trivet.cli.data.stats import stats
from trivet.cli.data.suite import suite
from trivet.cli.data.weighing.command import weigh


@click.group()
def data() -> None:
    """What routes keep of questions and answers.

    \b
    Examples:
      trivet data stats
      trivet data label --route support
      trivet data suite evals/support --route support
      trivet data export out/chats --route support
      trivet data weigh out/weighed --chats out/chats/train.jsonl --suite tickets
      trivet data erase --unit customer-4711
    """


data.add_command(stats)
data.add_command(label)
data.add_command(suite)
data.add_command(export)
data.add_command(weigh)
data.add_command(erase)
