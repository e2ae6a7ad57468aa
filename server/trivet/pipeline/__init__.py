"""The order of one request. Read `generation` first."""
