"""One tenant beside another."""
