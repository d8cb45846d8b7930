"""Reads rules from YAML. Every error names the file and the line."""

from __future__ import annotations

import math
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from memvit.labels import Labels, read_text
from memvit.types import MemvitError

from .rules import Rule, Rules, Zone
from .scores import actions_of
from .yaml_nodes import YamlNodes

MAX_BYTES = 1_000_000
MAX_CORNERS = 1000
"""Bound of the corners of a zone."""
RULE_KEYS = tuple(field.name for field in fields(Rule))
ZONE_KEYS = ("streams", "polygon")


def load_rules(path: str | Path) -> Rules:
    """Rules and zones of a file. MemvitError with the line if something in it is wrong."""
    return parse_rules(read_rules_text(Path(path), "the rules"), str(path))


def read_rules_text(path: Path, what: str) -> str:
    """The text of a file of moderate size. MemvitError that says `what` cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MemvitError(f"{path}: this is larger than {MAX_BYTES:,} bytes, so it cannot be {what}")
    except OSError:
        pass  # `read_text` says what is wrong
    return read_text(path, what)


def parse_rules(text: str, where: str = "rules") -> Rules:
    """Rules and zones from the text of a file; `where` names it in errors."""
    return RulesReader(where).document(text)


def check_actions(rules: Rules, labels: Labels) -> None:
    """MemvitError if a model of these classes cannot make events by a rule, since it knows none of its actions."""
    for rule in rules.rules:
        if rule.actions and not any(rule.names(action) for action in actions_of(labels)):
            near = [one for action in rule.actions for one in get_close_matches(str(action), labels.names, 2, 0.5)]
            hint = f"; do you mean {' or '.join(near)}?" if near else ""
            wanted = ", ".join(str(action) for action in rule.actions)
            raise MemvitError(f"rule {rule.name}: the model knows none of its actions ({wanted}){hint}")


class RulesReader(YamlNodes):
    """Reads rules and zones from the nodes of a document."""

    def document(self, text: str) -> Rules:
        """A document that holds nothing else."""
        root = self.compose(text)
        if root is None:
            raise MemvitError(f"{self._where}: there is nothing in it; a list of `rules:` is expected")
        top = self.mapping(root, ("rules", "zones"), "the file")
        if "rules" not in top:
            self.fail(root, "there is no `rules:`")
        return self.rules(top)

    def rules(self, top: dict[str, Any]) -> Rules:
        """The keys `rules` and `zones` of a mapping that has one of them, or both."""
        zones: dict[str, Zone] = {}
        if "zones" in top:
            for name, node in self.mapping(top["zones"], None, "zones").items():
                zones[name] = self._zone(name, node)
        found: dict[str, Rule] = {}
        for node in self.sequence(top["rules"], "rules") if "rules" in top else ():
            rule = self._rule(node, zones)
            if rule.name in found:
                self.fail(node, f"there are two rules with the name {rule.name}; give each its own")
            found[rule.name] = rule
        if "rules" in top and not found:
            self.fail(top["rules"], "there are no rules in the list")
        return Rules(tuple(found.values()), tuple(zones.values()))

    def _zone(self, name: str, node: Any) -> Zone:
        content = self.mapping(node, ZONE_KEYS, f"zone {name}")
        if "polygon" not in content:
            self.fail(node, f"zone {name} has no `polygon`")
        corners = [self._corner(name, corner) for corner in self.sequence(content["polygon"], "polygon")]
        if not 3 <= len(corners) <= MAX_CORNERS:
            self.fail(content["polygon"], f"a polygon has 3 to {MAX_CORNERS} corners, this one {len(corners)}")
        return Zone(name, tuple(corners), self.texts(content.get("streams")))

    def _corner(self, name: str, node: Any) -> tuple[float, float]:
        sides = self.sequence(node, "polygon")
        if len(sides) != 2:
            self.fail(node, f"a corner of zone {name} must be [x, y]")
        x, y = (self.number(side, "a side of a corner", 0, 1) for side in sides)
        return x, y

    def _rule(self, node: Any, zones: dict[str, Zone]) -> Rule:
        content = self.mapping(node, RULE_KEYS, "a rule")
        if "name" not in content:
            self.fail(node, "this rule has no `name`")
        values: dict[str, Any] = {"name": self.text(content["name"], "name")}
        for key, upper in (("start_score", 1.0), ("keep_score", 1.0)):
            if key in content:
                values[key] = self.number(content[key], key, 0, upper)
        for key in ("min_seconds", "merge_seconds", "dwell_seconds"):
            if key in content:
                values[key] = self.number(content[key], key, 0, math.inf)
        if "min_people" in content:
            people = self.number(content["min_people"], "min_people", 1, math.inf)
            if people != int(people):
                self.fail(content["min_people"], "min_people must be a whole number")
            values["min_people"] = int(people)
        if "actions" in content:
            values["actions"] = tuple(self._action(one) for one in self.values(content["actions"]))
        values["streams"] = self.texts(content.get("streams"))
        values["zones"] = tuple(self._known_zone(one, zones) for one in self.values(content.get("zones")))
        rule = Rule(**values)
        if not rule.actions and not rule.dwell_seconds:
            self.fail(node, f"rule {rule.name} needs `actions`, or `dwell_seconds` above 0")
        if rule.lowest_score > rule.start_score:
            self.fail(content["keep_score"], "keep_score must not be above start_score")
        return rule

    def _known_zone(self, node: Any, zones: dict[str, Zone]) -> Zone:
        name = self.text(node, "a zone")
        if name not in zones:
            self.fail(node, f"there is no zone {name}; the zones are: {', '.join(zones) or 'none'}")
        return zones[name]

    def _action(self, node: Any) -> str | int:
        if node.id == "scalar" and node.tag == "tag:yaml.org,2002:int":
            return int(self.number(node, "an action's id", 0, math.inf))
        return self.text(node, "an action")
