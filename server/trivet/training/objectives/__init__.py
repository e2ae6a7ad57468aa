"""What a training makes better: imitation of answers, preferences between two, or rewards."""
