"""Copies and removes the objects of a group in parallel."""

from __future__ import annotations

import asyncio

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

COPIES = 16
"""So many objects, of 16 MiB at most, are copied at a time."""


def copy_arrays(source: zarr.Group, target: zarr.Group) -> None:
    """Copy all arrays of a group into another one, many objects in parallel; the attributes of both stay the same."""
    sync(_copy(source, target))


def remove_arrays(group: zarr.Group) -> None:
    """Delete everything in a group but its attributes: arrays, and what a crash left of arrays."""
    sync(_remove(group))


async def _copy(source: zarr.Group, target: zarr.Group) -> None:
    prototype = default_buffer_prototype()

    above, limit = f"{source.path}/" if source.path else "", asyncio.Semaphore(COPIES)

    async def send(key: str) -> None:
        async with limit:
            content = await source.store.get(key, prototype)
            if content is not None:
                await target.store.set(f"{target.path}/{key.removeprefix(above)}", content)

    keys = [key async for key in source.store.list_prefix(above)]
    await asyncio.gather(*(send(key) for key in keys if key != f"{above}zarr.json" and not key.endswith(".partial")))


async def _remove(group: zarr.Group) -> None:
    async def remove(name: str) -> None:
        try:
            await group.store.delete_dir(f"{group.path}/{name}")
        except ValueError:  # It is a file: attributes that a killed process did not finish to write.
            await group.store.delete(f"{group.path}/{name}")

    names = [name async for name in group.store.list_dir(group.path) if name != "zarr.json"]
    await asyncio.gather(*(remove(name) for name in names))
