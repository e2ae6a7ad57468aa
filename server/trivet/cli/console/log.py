"""The log of a server on its console: one line each, with time and level."""

from __future__ import annotations

import logging
import sys
import time


def log_to_console() -> None:
    """Show what Trivet logs, from INFO on, and warnings of others, on standard error. Times are UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    # An engine that is ended while it loads leaves the lock of a progress bar (tqdm's) to multiprocessing's resource
    # tracker, which removes it and warns of a leak that there no longer is. The tracker takes over these options.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    logging.getLogger("trivet").setLevel(logging.INFO)
