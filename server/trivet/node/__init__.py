"""An engine node: one engine behind the contract that gateways speak to it."""
