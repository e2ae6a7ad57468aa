"""The HTTP door under many requests that a program makes from its description."""
