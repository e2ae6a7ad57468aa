"""`trivet eval`."""
