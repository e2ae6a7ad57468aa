"""What a start of the server takes, and a restart of its engine: time, processor, memory."""
