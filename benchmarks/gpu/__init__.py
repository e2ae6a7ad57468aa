"""What Trivet claims, checked on a machine with a GPU."""
