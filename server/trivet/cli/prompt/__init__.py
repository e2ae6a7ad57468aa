"""`trivet prompt`: what the model is told."""
