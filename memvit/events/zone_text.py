"""Zones changed in the text of a YAML file: only what concerns them changes, and comments stay."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from memvit.types import MemvitError

from .rules import Rules, Zone
from .rules_file import RulesReader
from .yaml_nodes import YamlNodes

PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""What other readers of YAML may take for something else than a text."""
DECIMALS = 4
"""Corners are written with so many, which is finer than a pixel."""


class ZoneInUse(MemvitError):
    """A zone that a rule needs is not to be removed."""


def check_zone(zone: Zone) -> None:
    """MemvitError if the zone could not stand in a file."""
    text = f"rules: [{{name: none, dwell_seconds: 1}}]\nzones: {{{_key(zone.name)}: {_value(zone)}}}"
    if _ZoneReader(f"zone {zone.name}").document(text).zones != (zone,):
        raise MemvitError(f"zone {zone.name}: its name, or a stream's, has characters that cannot be written")


def rounded(zone: Zone) -> Zone:
    """The zone with its corners as they are written."""
    return replace(zone, polygon=tuple((round(x, DECIMALS), round(y, DECIMALS)) for x, y in zone.polygon))


def with_zone(text: str, zone: Zone, parse: Callable[[str], Rules]) -> str:
    """The text with a zone that is new or changed; `parse` reads the whole text. MemvitError with the line if the text
    is wrong, or if it is written so that more than the zone would change.
    """
    return _edited(text, zone.name, zone, parse)


def without_zone(text: str, name: str, parse: Callable[[str], Rules]) -> str:
    """The text without a zone. ZoneInUse if a rule needs it; other errors as those of `with_zone`."""
    users = rules_in(parse(text), name)
    if users:
        rules = f"rule {users[0]} needs" if len(users) == 1 else f"the rules {', '.join(users)} need"
        raise ZoneInUse(f"{rules} zone {name}; take it out there first")
    return _edited(text, name, None, parse)


def rules_in(rules: Rules, zone_name: str) -> list[str]:
    """The names of the rules that need a zone."""
    return [rule.name for rule in rules.rules if any(zone.name == zone_name for zone in rule.zones)]


class _ZoneReader(RulesReader):
    """Names the zone, and no line, in errors."""

    def fail(self, node: Any, problem: str) -> Any:
        raise MemvitError(f"{self._where}: {problem}")


def _edited(text: str, name: str, zone: Zone | None, parse: Callable[[str], Rules]) -> str:
    before = parse(text)
    edited = _Editor(text, {one.name: one for one in before.zones}).edited(name, zone)
    try:
        after = parse(edited)
    except MemvitError:
        after = None
    if after != _expected(before, name, zone) or list(_others(edited)) != list(_others(text)):
        raise MemvitError(
            f"zone {name} cannot be changed without changing more of the file, because of an alias or a form that is "
            "rare; change it there by hand"
        )
    return edited


def _expected(before: Rules, name: str, zone: Zone | None) -> Rules:
    """What the text must say once the zone has changed."""
    zones = {old.name: old for old in before.zones}
    if zone is None:
        del zones[name]
    else:
        zones[name] = zone
    rules = (replace(rule, zones=tuple(zones[old.name] for old in rule.zones)) for rule in before.rules)
    return Rules(tuple(rules), tuple(zones.values()))


def _others(text: str) -> Iterator[Any]:
    """All that the text says besides zones."""

    def plain(node: Any) -> Any:
        if node.id == "scalar":
            return node.tag, node.value
        if node.id == "sequence":
            return [plain(one) for one in node.value]
        return [(plain(key), plain(value)) for key, value in node.value]

    for key, value in YamlNodes("").compose(text).value:
        if key.value != "zones":
            yield key.value, plain(value)


class _Editor:
    """Edits the text of one file by the places of its nodes."""

    def __init__(self, text: str, zones: dict[str, Zone]) -> None:
        """`zones` are those that the text has."""
        self._text, self._zones = text, zones
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._edits: list[tuple[int, int, str]] = []

    def edited(self, name: str, zone: Zone | None) -> str:
        """The text with the zone changed, or without it."""
        root = YamlNodes("").compose(self._text)
        zones = next(((key, value) for key, value in root.value if key.value == "zones"), None)
        if zones is None:
            if zone is not None:
                self._add_section(root, zone)
        else:
            pair = next(((key, value) for key, value in zones[1].value if key.value == name), None)
            if zone is None:
                self._remove(*zones, name)
            elif pair is None:
                self._add(*zones, zone, is_in_flow=bool(root.flow_style))
            else:
                self._change(pair[1], self._zones[name], zone)
        text = self._text
        for start, end, new in sorted(self._edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _replace(self, start: int, end: int, new: str) -> None:
        self._edits.append((start, end, new))

    def _add_section(self, root: Any, zone: Zone) -> None:
        entry = f"{_key(zone.name)}: {_value(zone)}"
        if root.flow_style:
            self._append(root, f"zones: {{{entry}}}")
        else:
            indent = " " * root.value[0][0].start_mark.column
            self._append(root, f"zones:{self._line_end}{indent}  {entry}")

    def _add(self, zones_key: Any, zones: Any, zone: Zone, *, is_in_flow: bool) -> None:
        entry = f"{_key(zone.name)}: {_value(zone)}"
        if zones.value:
            self._append(zones, entry)
        elif is_in_flow:
            self._replace(zones.start_mark.index, zones.end_mark.index, f"{{{entry}}}")
        else:
            indent = " " * (zones_key.start_mark.column + 2)
            new = f"{self._line_end}{indent}{entry}"
            self._replace(self._start_after(zones_key, zones), zones.end_mark.index, new)

    def _append(self, mapping: Any, entry: str) -> None:
        """Another entry after the last one."""
        end = _end_of(mapping.value[-1][1])
        if mapping.flow_style:
            self._replace(end, end, f", {entry}")
            return
        end = self._end_of_line(end)
        indent = " " * mapping.value[0][0].start_mark.column
        self._replace(end, end, f"{self._line_end}{indent}{entry}")

    def _remove(self, zones_key: Any, zones: Any, name: str) -> None:
        places = [place for place, (key, _) in enumerate(zones.value) if key.value == name]
        for place in places:
            key, value = zones.value[place]
            if len(zones.value) == 1:
                start = self._start_after(zones_key, zones)
                self._replace(start, _end_of(value) if not zones.flow_style else zones.end_mark.index, " {}")
            elif not zones.flow_style:
                start = self._text.rfind("\n", 0, key.start_mark.index) + 1
                end = self._end_of_line(_end_of(value))
                self._replace(start, min(len(self._text), end + len(self._line_end)), "")
            elif place + 1 < len(zones.value):
                self._replace(key.start_mark.index, zones.value[place + 1][0].start_mark.index, "")
            else:
                self._replace(_end_of(zones.value[place - 1][1]), _end_of(value), "")

    def _change(self, node: Any, old: Zone, zone: Zone) -> None:
        nodes = {part.value: (part, value) for part, value in node.value}
        for name, new, is_other in (
            ("polygon", _polygon(zone), zone.polygon != old.polygon),
            ("streams", _list(zone.streams), zone.streams != old.streams),
        ):
            if name in nodes:
                part, value = nodes[name]
                if is_other:
                    self._change_value(part, value, new)
            elif zone.streams:
                first = node.value[0][0].start_mark
                gap = " " if node.flow_style else self._line_end + " " * first.column
                comma = "," if node.flow_style else ""
                self._replace(first.index, first.index, f"streams: {new}{comma}{gap}")

    def _change_value(self, key: Any, node: Any, new: str) -> None:
        # A list in lines may begin in the column of its key, where a list in brackets may not.
        is_low = node.start_mark.line > key.start_mark.line and node.start_mark.column <= key.start_mark.column
        self._replace(node.start_mark.index, _end_of(node), "  " + new if is_low else new)

    def _start_after(self, key: Any, node: Any) -> int:
        """Where a value begins, with the space before it; a comment in between stays."""
        after_colon = self._text.index(":", key.end_mark.index) + 1
        start = int(node.start_mark.index)
        return after_colon if not self._text[after_colon:start].strip() else start

    def _end_of_line(self, index: int) -> int:
        end = self._text.find("\n", index)
        if end < 0:
            return len(self._text)
        return end - 1 if self._text[end - 1 : end] == "\r" else end


def _end_of(node: Any) -> int:
    """Where a node ends; that of a list or mapping in lines is marked where the next thing begins."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end_of(last[1] if node.id == "mapping" else last)


def _key(name: str) -> str:
    is_plain = PLAIN_KEY.fullmatch(name) and name.lower() not in YAML_WORDS
    return name if is_plain else json.dumps(name, ensure_ascii=False)


def _value(zone: Zone) -> str:
    streams = f"streams: {_list(zone.streams)}, " if zone.streams else ""
    return f"{{{streams}polygon: {_polygon(zone)}}}"


def _list(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(json.dumps(text, ensure_ascii=False) for text in texts) + "]"


def _polygon(zone: Zone) -> str:
    return "[" + ", ".join(f"[{_number(x)}, {_number(y)}]" for x, y in zone.polygon) + "]"


def _number(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") or "0"
