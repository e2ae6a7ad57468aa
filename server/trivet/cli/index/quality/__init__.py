"""How well an index answers: `trivet index explain` and `trivet index eval`."""
