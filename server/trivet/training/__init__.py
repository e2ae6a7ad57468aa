"""Training of adapters: LoRA on any causal language model, from chats. Stands apart from the server."""

from trivet.training.chats import Chat, Message
from trivet.training.folder import fingerprint, write
from trivet.training.lora import Recipe, Step, attach, train

__all__ = ["Chat", "Message", "Recipe", "Step", "attach", "fingerprint", "train", "write"]
