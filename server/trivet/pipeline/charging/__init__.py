"""Requests against the budgets of their tenants and keys."""
