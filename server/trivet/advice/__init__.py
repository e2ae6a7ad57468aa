"""Which of prompt, index and adapter a route should use, from evidence: a pure function, and how it is shown."""
