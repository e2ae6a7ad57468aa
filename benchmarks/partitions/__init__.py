"""Gateways and engine nodes on hosts of their own, whose network drops packets one way and both."""
