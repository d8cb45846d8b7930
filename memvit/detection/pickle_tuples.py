"""How large the tuples of a pickle are, found without making them."""

from __future__ import annotations

from pickletools import OpcodeInfo, markobject
from typing import Any

MARK = -1
"""In the stack: where the values of a list, a dictionary or a long tuple begin."""


class TupleSizes:
    """Follows the operations of a pickle: for each value on its stack, how many values it holds if it is a tuple."""

    def __init__(self) -> None:
        self.largest = 0
        """The size of the largest tuple so far: of its values, and of those in tuples in it, each time they occur."""
        self._stack: list[int] = []
        self._memo: dict[int, int] = {}

    def follow(self, operation: OpcodeInfo, argument: Any) -> None:
        """The next operation. ValueError if it takes more than there is."""
        name, stack = operation.name, self._stack
        if name == "MARK":
            stack.append(MARK)
        elif name == "DUP":
            stack.append(self._top())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = self._top()
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[int(argument)])
        else:
            taken = self._take(operation)
            size = 1 + sum(taken) if name.startswith("TUPLE") else 1
            stack.extend([size] * len(operation.stack_after))
            self.largest = max(self.largest, size)

    def _top(self) -> int:
        if not self._stack:
            raise ValueError("it takes a value where there is none")
        return self._stack[-1]

    def _take(self, operation: OpcodeInfo) -> list[int]:
        """Remove what an operation takes; the values after the last mark, or the last ones."""
        before, stack = list(operation.stack_before), self._stack
        if markobject in before:
            place = len(stack) - 1 - stack[::-1].index(MARK)
            taken = stack[place + 1 :]
            del stack[place:]
            before = before[: before.index(markobject)]
        else:
            taken = stack[len(stack) - len(before) :]
        if len(before) > len(stack):
            raise ValueError("it takes a value where there is none")
        del stack[len(stack) - len(before) :]
        return taken
