"""What observations add up to: numbers of guardrails, limits, and sums that are kept while they come in."""
