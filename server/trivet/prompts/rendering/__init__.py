"""Chat templates rendered so that each character of the output is known to come from the template or from elsewhere."""
