"""Gateways, and how they are reached."""
