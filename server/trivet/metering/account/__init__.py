"""The account of one request, and of each of its answers, while they are made."""

from trivet.metering.account.account import Account
from trivet.metering.account.choice import ChoiceAccount

__all__ = ["Account", "ChoiceAccount"]
