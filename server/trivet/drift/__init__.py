"""Whether a route is asked other questions than before: a sequential test on the questions' vectors."""
