"""Shares of tenants in what is bounded: who is next, and how much one may take while there are others."""
