"""From statistics to a decision: tests, halts, requirements, and the evidence that repeats them."""
