"""`trivet data`: the interaction log, read, exported for training, erased."""
