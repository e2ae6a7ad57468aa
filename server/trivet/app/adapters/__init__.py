"""Adapters by the configuration: their manager and slots, and taking, merging and importing them offline."""
