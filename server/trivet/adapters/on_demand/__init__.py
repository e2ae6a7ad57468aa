"""Adapters that requests choose: loaded when one is first asked for, within bounds, in turns between tenants."""
