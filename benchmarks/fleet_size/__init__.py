"""What a gateway pays for the number of its engine nodes."""
