"""`trivet index` and its verbs."""
