"""Long and live video: an MViTv2 backbone that reads a video clip by clip and carries a compressed memory along."""

from .models import Memory, create_model, list_models

__version__ = "0.1.0"

__all__ = ["Memory", "__version__", "create_model", "list_models"]
