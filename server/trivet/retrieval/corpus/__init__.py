"""A corpus folder and files as documents: which are taken, how they are read, and what is wrong with the others."""
