"""Watches files and streams and writes their results."""
