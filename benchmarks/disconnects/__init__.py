"""Clients that leave: how soon their requests end."""
