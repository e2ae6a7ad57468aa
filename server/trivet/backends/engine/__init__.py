"""One running engine: what it is asked, its signs of life, its metrics."""
