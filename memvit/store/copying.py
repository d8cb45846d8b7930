"""Copies and removes the objects of a group in parallel."""

from __future__ import annotations

import asyncio

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync


def copy_arrays(source: zarr.Group, target: zarr.Group) -> None:
    """Copy all arrays of a group into another one, all objects in parallel; the attributes of both stay the same."""
    sync(_copy(source, target))


def remove_arrays(group: zarr.Group) -> None:
    """Delete everything in a group but its attributes: arrays, and what a crash left of arrays."""
    sync(_remove(group))


async def _copy(source: zarr.Group, target: zarr.Group) -> None:
    prototype = default_buffer_prototype()

    async def send(key: str) -> None:
        content = await source.store.get(key, prototype)
        if content is not None:
            await target.store.set(f"{target.path}/{key}", content)

    keys = [key async for key in source.store.list() if key != "zarr.json"]
    await asyncio.gather(*(send(key) for key in keys))


async def _remove(group: zarr.Group) -> None:
    async def remove(name: str) -> None:
        try:
            await group.store.delete_dir(f"{group.path}/{name}")
        except ValueError:  # It is a file: attributes that a killed process did not finish to write.
            await group.store.delete(f"{group.path}/{name}")

    names = [name async for name in group.store.list_dir(group.path) if name != "zarr.json"]
    await asyncio.gather(*(remove(name) for name in names))
