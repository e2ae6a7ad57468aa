"""Commands for a project's files, which need no server."""
