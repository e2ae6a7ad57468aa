"""Adapters on demand: many tenants with an adapter each, behind one route."""
