"""`trivet advise`: from a project, its evaluations and its logs to advice."""
