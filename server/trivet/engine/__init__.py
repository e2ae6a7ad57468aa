"""The contract between gateways and engine nodes: its messages, and what they mean."""
