"""What is done to one adapter, one change at a time: loading, unloading, retries, and what its entry says of it."""
