"""The seams of rollouts: what operators see of them and change by hand."""
