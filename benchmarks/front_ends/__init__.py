"""What several front-end processes take of processors, beside one process with its engine embedded."""
