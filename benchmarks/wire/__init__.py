"""What the wire between a gateway and an engine node costs."""
