"""A variant answers a request that has its place: for clients, and for copies that nobody sees."""
