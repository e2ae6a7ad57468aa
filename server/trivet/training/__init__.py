"""Training of adapters: LoRA on any causal language model, from chats. Stands apart from the server."""

from trivet.training.chats import Chat, Message
from trivet.training.job import Job, Watcher, run
from trivet.training.lora import Recipe

__all__ = ["Chat", "Job", "Message", "Recipe", "Watcher", "run"]
