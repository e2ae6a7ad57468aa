"""From the configuration to what is accounted for."""
