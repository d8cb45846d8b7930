"""The nodes of a YAML document, which know their lines, so that every mistake is named with its own."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Any, NoReturn

from memvit.types import MemvitError


class YamlNodes:
    """Reads values from nodes; MemvitError with file and line if a node is not what it should be."""

    def __init__(self, where: str) -> None:
        """`where` names the file in errors."""
        self._where = where

    def compose(self, text: str) -> Any:
        """The root of the document; None if it is empty."""
        import yaml

        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
            raise MemvitError(f"{self._where}{line}: this is not valid YAML ({error.problem})") from error
        except (yaml.YAMLError, RecursionError) as error:
            reason = "too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
            raise MemvitError(f"{self._where}: this is not valid YAML ({reason})") from error

    def mapping(self, node: Any, known: tuple[str, ...] | None, what: str) -> dict[str, Any]:
        """Keys and nodes of a mapping; `known` are the keys that it may have, None for any."""
        if node.id != "mapping":
            self.fail(node, f"{what} must be keys with values")
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            key = self.text(key_node, "a key")
            if known is not None and key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"; do you mean `{near[0]}`?" if near else f"; the keys are {', '.join(known)}"
                self.fail(key_node, f"{what} has no key `{key}`{hint}")
            if key in found:
                self.fail(key_node, f"`{key}` is there twice")
            found[key] = value
        return found

    def sequence(self, node: Any, what: str) -> list[Any]:
        """The nodes of a list."""
        if node.id != "sequence":
            self.fail(node, f"{what} must be a list")
        return list(node.value)

    def values(self, node: Any) -> list[Any]:
        """The nodes of a list; one value stands for a list of one, and nothing for an empty one."""
        if node is None:
            return []
        return list(node.value) if node.id == "sequence" else [node]

    def texts(self, node: Any) -> tuple[str, ...]:
        """A list of texts; one text stands for a list of one, and None for an empty one."""
        return tuple(self.text(one, "a name") for one in self.values(node))

    def text(self, node: Any, what: str) -> str:
        """A text that is not empty; numbers are taken as they are written."""
        if node.id != "scalar" or not node.value.strip():
            self.fail(node, f"{what} must be a text")
        return str(node.value)

    def number(self, node: Any, what: str, lowest: float, highest: float) -> float:
        """A finite number from `lowest` to `highest`."""
        is_number = node.id == "scalar" and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        try:
            number = float(node.value) if is_number else math.nan
        except ValueError:  # such as 0x1f
            number = math.nan
        if not math.isfinite(number) or not lowest <= number <= highest:
            bounds = f"from {lowest:g} to {highest:g}" if math.isfinite(highest) else f"of {lowest:g} or more"
            self.fail(node, f"{what} must be a number {bounds}")
        return number

    def flag(self, node: Any, what: str) -> bool:
        """true or false."""
        if node.id != "scalar" or node.tag != "tag:yaml.org,2002:bool":
            self.fail(node, f"{what} must be true or false")
        return str(node.value).lower() in ("true", "yes", "on")

    def fail(self, node: Any, problem: str) -> NoReturn:
        """MemvitError with the line of a node."""
        raise MemvitError(f"{self._where}:{node.start_mark.line + 1}: {problem}")
