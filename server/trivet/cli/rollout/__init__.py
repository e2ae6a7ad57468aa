"""`trivet rollout`: what operators see of rollouts, what they change by hand, and the report."""
