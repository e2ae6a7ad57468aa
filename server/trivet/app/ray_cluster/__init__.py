"""Engine nodes as actors on a Ray cluster: placed, started again and found by Ray, spoken to directly."""
