"""Budgets and rate limits of tenants and keys, shared by the gateways of one state store."""
