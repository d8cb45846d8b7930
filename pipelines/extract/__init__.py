"""Extraction of features and actions: inputs → tasks → decoding → engine → parts → finished videos in a Zarr store."""
