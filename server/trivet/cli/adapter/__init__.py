"""`trivet adapter` and its verbs."""
