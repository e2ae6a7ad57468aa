"""What every section of the configuration is made of: kinds of values and their patterns."""
