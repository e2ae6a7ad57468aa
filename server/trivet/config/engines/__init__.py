"""What the settings of engines contradict."""
