"""Text cut into passages: readers of the formats, splitting, and the processes that do it."""
