"""The request log: one JSON line per receipt in the data folder, and the latest receipts in memory."""

from trivet.metering.receipt_log.files import LogLimits
from trivet.metering.receipt_log.json_form import from_json, to_json
from trivet.metering.receipt_log.log import ReceiptLog
from trivet.metering.receipt_log.recent import RecentReceipts
from trivet.metering.receipt_log.writer import QueueLimits

__all__ = ["LogLimits", "QueueLimits", "ReceiptLog", "RecentReceipts", "from_json", "to_json"]
