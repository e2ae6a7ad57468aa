"""What each leg is worth: the suites of `trivet eval`, all arms."""
