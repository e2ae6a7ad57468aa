"""The vector process: Qdrant's own gRPC protocol, as far as Trivet needs it, over the embedded engine Qdrant Edge.

A process of its own because the engine holds the interpreter's lock during its calls and one process must own a folder.
Everything runs on one event loop, one call at a time: a call of the protocol is atomic to every other call.
"""
