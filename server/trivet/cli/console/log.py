"""The log of a server on its console: one line each, with time and level, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time

from trivet.current_request import CURRENT_REQUEST, CURRENT_TRACE

FORMATS = ("text", "json")
_TIME = "%Y-%m-%dT%H:%M:%S"


class JsonLines(logging.Formatter):
    """An object for each event: `time` (UTC), `level`, `logger`, `message`; if any, `request_id`, `trace_id`,
    `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        event = {
            "time": f"{time.strftime(_TIME, time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := CURRENT_REQUEST.get():
            event["request_id"] = request_id
        if trace_id := CURRENT_TRACE.get():
            event["trace_id"] = trace_id
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event)  # in ASCII: some readers end lines at U+2028


def log_to_console(form: str = FORMATS[0]) -> None:
    """Show what Trivet logs, from INFO on, and warnings of others, on standard error, in one of FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else _text())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    # An engine that is ended while it loads leaves the lock of a progress bar (tqdm's) to multiprocessing's resource
    # tracker, which removes it and warns of a leak that there no longer is. The tracker takes over these options.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    logging.getLogger("trivet").setLevel(logging.INFO)


def _text() -> logging.Formatter:
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", _TIME)
    formatter.converter = time.gmtime
    return formatter
