"""A long prompt distilled into an adapter that needs none."""
