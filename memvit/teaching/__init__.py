"""Actions that a user teaches with examples: labels, a linear head on the features of a model, and the head's file."""

from .head import Head, HeadError, ModelIdentity, load_head, save_head

__all__ = ["Head", "HeadError", "ModelIdentity", "load_head", "save_head"]
