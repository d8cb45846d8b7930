"""Reads rules from YAML. Every error names the file and the line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from memvit.labels import Labels, read_text
from memvit.types import MemvitError

from .rules import Rule, Rules, Zone
from .scores import actions_of

Value = TypeVar("Value")
MAX_BYTES = 1_000_000
MAX_CORNERS = 1000
"""Bound of the corners of a zone."""
RULE_KEYS = tuple(field.name for field in fields(Rule))
ZONE_KEYS = ("streams", "polygon")


def load_rules(path: str | Path) -> Rules:
    """Rules and zones of a file. MemvitError with the line if something in it is wrong."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MemvitError(f"{path}: this is larger than {MAX_BYTES:,} bytes; a file of rules is expected")
    except OSError:
        pass  # `read_text` says what is wrong
    return parse_rules(read_text(path, "the rules"), str(path))


def parse_rules(text: str, where: str = "rules") -> Rules:
    """Rules and zones from the text of a file; `where` names it in errors."""
    return _Parser(where).rules(text)


def check_actions(rules: Rules, labels: Labels) -> None:
    """MemvitError if a model of these classes cannot make events by a rule, since it knows none of its actions."""
    for rule in rules.rules:
        if rule.actions and not any(rule.names(action) for action in actions_of(labels)):
            near = [one for action in rule.actions for one in get_close_matches(str(action), labels.names, 2, 0.5)]
            hint = f"; do you mean {' or '.join(near)}?" if near else ""
            wanted = ", ".join(str(action) for action in rule.actions)
            raise MemvitError(f"rule {rule.name}: the model knows none of its actions ({wanted}){hint}")


class _Parser:
    """Reads the nodes of one YAML document, which know their lines."""

    def __init__(self, where: str) -> None:
        self._where = where

    def rules(self, text: str) -> Rules:
        """The whole document."""
        root = self._compose(text)
        if root is None:
            raise MemvitError(f"{self._where}: there is nothing in it; a list of `rules:` is expected")
        top = self._mapping(root, ("rules", "zones"), "the file")
        zones: dict[str, Zone] = {}
        if "zones" in top:
            for name, node in self._mapping(top["zones"], None, "zones").items():
                zones[name] = self._zone(name, node)
        if "rules" not in top:
            self._fail(root, "there is no `rules:`")
        found: dict[str, Rule] = {}
        for node in self._sequence(top["rules"], "rules"):
            rule = self._rule(node, zones)
            if rule.name in found:
                self._fail(node, f"there are two rules with the name {rule.name}; give each its own")
            found[rule.name] = rule
        if not found:
            self._fail(top["rules"], "there are no rules in the list")
        return Rules(tuple(found.values()), tuple(zones.values()))

    def _compose(self, text: str) -> Any:
        import yaml

        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
            raise MemvitError(f"{self._where}{line}: this is not valid YAML ({error.problem})") from error
        except (yaml.YAMLError, RecursionError) as error:
            reason = "too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
            raise MemvitError(f"{self._where}: this is not valid YAML ({reason})") from error

    def _zone(self, name: str, node: Any) -> Zone:
        content = self._mapping(node, ZONE_KEYS, f"zone {name}")
        if "polygon" not in content:
            self._fail(node, f"zone {name} has no `polygon`")
        corners = [self._corner(name, corner) for corner in self._sequence(content["polygon"], "polygon")]
        if not 3 <= len(corners) <= MAX_CORNERS:
            self._fail(content["polygon"], f"a polygon has 3 to {MAX_CORNERS} corners, this one {len(corners)}")
        return Zone(name, tuple(corners), self._texts(content.get("streams")))

    def _corner(self, name: str, node: Any) -> tuple[float, float]:
        sides = self._sequence(node, "polygon")
        if len(sides) != 2:
            self._fail(node, f"a corner of zone {name} must be [x, y]")
        x, y = (self._number(side, "a side of a corner", 0, 1) for side in sides)
        return x, y

    def _rule(self, node: Any, zones: dict[str, Zone]) -> Rule:
        content = self._mapping(node, RULE_KEYS, "a rule")
        if "name" not in content:
            self._fail(node, "this rule has no `name`")
        values: dict[str, Any] = {"name": self._text(content["name"], "name")}
        for key, upper in (("start_score", 1.0), ("keep_score", 1.0)):
            if key in content:
                values[key] = self._number(content[key], key, 0, upper)
        for key in ("min_seconds", "merge_seconds", "dwell_seconds"):
            if key in content:
                values[key] = self._number(content[key], key, 0, math.inf)
        if "min_people" in content:
            people = self._number(content["min_people"], "min_people", 1, math.inf)
            if people != int(people):
                self._fail(content["min_people"], "min_people must be a whole number")
            values["min_people"] = int(people)
        if "actions" in content:
            values["actions"] = tuple(self._action(one) for one in self._list(content["actions"]))
        values["streams"] = self._texts(content.get("streams"))
        values["zones"] = tuple(self._known_zone(one, zones) for one in self._list(content.get("zones")))
        rule = Rule(**values)
        if not rule.actions and not rule.dwell_seconds:
            self._fail(node, f"rule {rule.name} needs `actions`, or `dwell_seconds` above 0")
        if rule.lowest_score > rule.start_score:
            self._fail(content["keep_score"], "keep_score must not be above start_score")
        return rule

    def _known_zone(self, node: Any, zones: dict[str, Zone]) -> Zone:
        name = self._text(node, "a zone")
        if name not in zones:
            self._fail(node, f"there is no zone {name}; the zones are: {', '.join(zones) or 'none'}")
        return zones[name]

    def _action(self, node: Any) -> str | int:
        if node.id == "scalar" and node.tag == "tag:yaml.org,2002:int":
            return int(self._number(node, "an action's id", 0, math.inf))
        return self._text(node, "an action")

    def _mapping(self, node: Any, known: tuple[str, ...] | None, what: str) -> dict[str, Any]:
        """Keys and nodes of a mapping; `known` are the keys that it may have, None for any."""
        if node.id != "mapping":
            self._fail(node, f"{what} must be keys with values")
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            key = self._text(key_node, "a key")
            if known is not None and key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"; do you mean `{near[0]}`?" if near else f"; the keys are {', '.join(known)}"
                self._fail(key_node, f"{what} has no key `{key}`{hint}")
            if key in found:
                self._fail(key_node, f"`{key}` is there twice")
            found[key] = value
        return found

    def _sequence(self, node: Any, what: str) -> list[Any]:
        if node.id != "sequence":
            self._fail(node, f"{what} must be a list")
        return list(node.value)

    def _list(self, node: Any) -> list[Any]:
        """The nodes of a list; one value stands for a list of one, and nothing for an empty one."""
        if node is None:
            return []
        return list(node.value) if node.id == "sequence" else [node]

    def _texts(self, node: Any) -> tuple[str, ...]:
        return tuple(self._text(one, "a name") for one in self._list(node))

    def _text(self, node: Any, what: str) -> str:
        if node.id != "scalar" or not node.value.strip():
            self._fail(node, f"{what} must be a text")
        return str(node.value)

    def _number(self, node: Any, what: str, lowest: float, highest: float) -> float:
        number = self._converted(node, float)
        if number is None or not math.isfinite(number) or not lowest <= number <= highest:
            bounds = f"from {lowest:g} to {highest:g}" if math.isfinite(highest) else f"of {lowest:g} or more"
            self._fail(node, f"{what} must be a number {bounds}")
        return number

    def _converted(self, node: Any, convert: Callable[[str], Value]) -> Value | None:
        is_number = node.id == "scalar" and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        try:
            return convert(node.value) if is_number else None
        except ValueError:
            return None

    def _fail(self, node: Any, problem: str) -> NoReturn:
        raise MemvitError(f"{self._where}:{node.start_mark.line + 1}: {problem}")
