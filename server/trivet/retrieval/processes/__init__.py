"""Child processes that work for this one: frames over pipes, started when needed, killed when they take too long."""
