"""The quality of searches on a second manual, with questions that people would ask."""
