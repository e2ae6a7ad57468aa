"""What generates elsewhere: fleets of engine nodes, and endpoints of somebody else's."""
