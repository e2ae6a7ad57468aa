"""Commands that run a server, or tend its data."""
