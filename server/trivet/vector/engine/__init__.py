"""The engine's collections on the disk: opened, moved, optimised, owned by one process."""
