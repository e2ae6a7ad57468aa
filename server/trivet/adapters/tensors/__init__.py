"""The tensors of an adapter: file header, names, data."""
