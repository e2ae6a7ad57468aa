"""The time of a machine that is paid for by the hour: shared out, and counted."""
