"""Splitting documents where it can be killed: a pool of processes, shared fairly between tenants."""
