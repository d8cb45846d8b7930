"""Mining an archive: inputs → tasks → decoding → engine → parts → finished videos in one Zarr store."""
