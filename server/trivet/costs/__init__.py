"""What requests cost, by what served them and whose they were: reports over the request log, without a server."""
