"""The ways in: what the listeners need of the configuration, and the HTTP door."""
