"""The routing leg: which variant answers a route for a unit."""
