"""The `trivet` command."""

import os

# The server's event loop starts processes by `fork`, and gRPC would hold its threads up for each, or say in the log
# that it could not. They run other programs at once, so nothing of gRPC's is to be kept whole in them. gRPC reads this
# when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
