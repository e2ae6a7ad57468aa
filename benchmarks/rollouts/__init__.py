"""Simulated rollouts, judged by the server's own statistics and decisions."""
