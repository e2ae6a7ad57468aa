"""What gateways share, as the configuration has it."""
