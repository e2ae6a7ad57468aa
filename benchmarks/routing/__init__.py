"""A simulation of fleets: which node a request goes to, by several rules."""
