"""Sources of frames: files, URLs, cameras, folders of images."""
