"""One engine node as a backend: how it is reached, watched and asked."""
