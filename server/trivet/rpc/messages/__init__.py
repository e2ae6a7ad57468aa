"""Requests as they come off the wire: read, counted, held against their bounds."""
