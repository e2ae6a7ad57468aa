"""The gateway's own ceiling: an engine that computes nothing and keeps a pace."""
