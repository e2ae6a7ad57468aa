"""A guard of the front end's cost: `make bench` fails when it has grown."""
