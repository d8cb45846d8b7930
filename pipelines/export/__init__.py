"""`memvit export`: an archive for other programs, as a table, a data set in Parquet, or a data set of FiftyOne."""
