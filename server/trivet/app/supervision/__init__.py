"""Engines kept running, and made ready after each start."""
