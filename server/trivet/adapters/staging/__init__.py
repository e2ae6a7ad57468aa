"""Our own immutable copies of adapters."""
