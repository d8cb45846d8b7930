"""The zones of the server: what is drawn is written into the file of rules, and then taken over."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from memvit.events.rules import Rules, Zone
from memvit.events.rules_file import MAX_BYTES, parse_rules
from memvit.events.zone_text import check_zone, rounded, with_zone, without_zone
from memvit.os_errors import sentence_of
from memvit.types import MemvitError

from .errors import UnknownZone, ZonesNotSaved
from .server_config import parse_config

NO_FILE = "zones are saved in the file of the rules, and this server has none; start it with --rules or --config"


class ZoneFile:
    """The file that has the zones. All methods may be called from any thread."""

    def __init__(self, path: Path | None, parse: Callable[[str], Rules], take_over: Callable[[], object]) -> None:
        """`parse` reads the text of the file; `take_over` has the server read it again and use it. Without a path,
        nothing can be saved.
        """
        self._path, self._parse, self._take_over = path, parse, take_over
        self._lock = threading.Lock()

    @property
    def problem(self) -> str | None:
        """Why nothing can be saved, as far as is known before; None if it can be."""
        if self._path is None:
            return NO_FILE
        folder = Path(os.path.realpath(self._path)).parent
        return (
            None if os.access(folder, os.W_OK) else f"{folder}: zones cannot be saved, since this folder is read-only"
        )

    def put(self, zone: Zone) -> Zone:
        """Save a zone, new or changed, and take it over; returns it as it was written. ZonesNotSaved if it cannot be
        written, MemvitError if it is not valid or the file is wrong; nothing has changed then.
        """
        zone = rounded(zone)
        check_zone(zone)
        with self._lock:
            before = self._read()
            self._change(before, with_zone(before, zone, self._parse))
        return zone

    def remove(self, name: str) -> None:
        """Take a zone out of the file, and out of use. UnknownZone, ZoneInUse, and the errors of `put`."""
        with self._lock:
            before = self._read()
            if name not in [zone.name for zone in self._parse(before).zones]:
                raise UnknownZone(f"there is no zone {name}")
            self._change(before, without_zone(before, name, self._parse))

    def _change(self, before: str, after: str) -> None:
        if after == before:
            return
        self._write(after)
        try:
            self._take_over()
        except BaseException:
            self._write(before)
            with suppress(MemvitError):
                self._take_over()  # a part of it may have been taken over
            raise

    def _read(self) -> str:
        if self._path is None:
            raise ZonesNotSaved(NO_FILE)
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise ZonesNotSaved(f"{self._path}: this is larger than {MAX_BYTES:,} bytes, so it is left alone")
            return self._path.read_bytes().decode()
        except OSError as error:
            raise ZonesNotSaved(sentence_of(error, self._path)) from error
        except UnicodeDecodeError as error:
            raise ZonesNotSaved(f"{self._path}: this is not a text file in UTF-8") from error

    def _write(self, text: str) -> None:
        """The whole text, or nothing of it."""
        assert self._path is not None
        path = Path(os.path.realpath(self._path))  # a link stays one
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(path, part)
            with suppress(OSError):
                os.chown(part, path.stat().st_uid, path.stat().st_gid)
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            reason = error.strerror or error
            raise ZonesNotSaved(
                f"{path}: zones cannot be saved there ({reason}); make it and its folder writable"
            ) from error


def zone_file(rules: Path | None, config: Path | None, take_over: Callable[[], object]) -> ZoneFile:
    """The file that a command line names: that of the rules, or the configuration."""
    if rules is not None:
        return ZoneFile(rules, lambda text: parse_rules(text, str(rules)), take_over)
    if config is not None:
        return ZoneFile(config, lambda text: parse_config(text, str(config)).rules or Rules(), take_over)
    return ZoneFile(None, parse_rules, take_over)
