"""From a weak prompt to a promoted adapter, out of the route's own traffic."""
