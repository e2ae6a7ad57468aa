"""Rollouts as a gateway runs them: what stands behind each of their seams."""
