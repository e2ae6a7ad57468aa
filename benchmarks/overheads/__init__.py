"""What tracing, the request log, metrics, limits and a machine's account take of the gateway's processor."""
