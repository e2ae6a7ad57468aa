"""What adapters cost: waits, loads, speeds."""
