"""A rollout's report: what the store kept of it, judged again look by look, as one page or as JSON."""
