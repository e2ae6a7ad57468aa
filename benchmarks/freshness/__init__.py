"""Documents written and read while processes are killed."""
