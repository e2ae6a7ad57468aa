"""Formats that are text: separated values, reStructuredText, notebooks, mail, source code."""
