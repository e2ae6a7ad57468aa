"""The process that decides on rollouts, killed and stopped at random moments."""
