"""Regular expressions in schemas: which of them the engine can enforce."""
