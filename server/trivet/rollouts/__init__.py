"""Rollouts: moving a route from its stable variant to a candidate, judged by data. Pure: no store, no clock, no I/O."""
