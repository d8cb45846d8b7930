"""Running networks on CUDA devices: pinned staging and captured graphs."""
