"""Long and live video: an MViTv2 backbone that reads a video clip by clip and carries a compressed memory along."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load, watch
    from .models import Memory, create_model, list_models

__version__ = "0.1.0"

__all__ = ["Memory", "__version__", "create_model", "list_models", "load", "watch"]


def __getattr__(name: str) -> Any:
    """Import torch when a model is asked for, not when `memvit --help` is."""
    if name in ("load", "watch"):
        from . import api

        return getattr(api, name)
    if name in __all__:
        from . import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
