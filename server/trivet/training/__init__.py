"""Training of adapters: LoRA on any causal language model, from chats. Stands apart from the server.

`trivet.training.run.run` trains, and imports PyTorch, transformers and PEFT, which takes seconds; these names do not.
"""

from trivet.training.chats import Chat, Message
from trivet.training.job import Job, Watcher
from trivet.training.recipe import Method, Recipe

__all__ = ["Chat", "Job", "Message", "Method", "Recipe", "Watcher"]
