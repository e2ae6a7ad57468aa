"""What real requests feel of the copies of a rollout's shadow."""
