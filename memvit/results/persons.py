"""The numbers of people in results, also where nobody tracks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memvit.boxes.match import PersonMatcher
from memvit.results.result import Result


def person_name(number: int, session: int = 0) -> str:
    """What a person of a session is called; in the next session, the same number is somebody else's."""
    return f"person {number} of session {session}" if session else f"person {number}"


def with_persons(result: Result, matcher: PersonMatcher) -> Result:
    """The result as it is if its people have numbers, otherwise with numbers, from 1, from boxes alone.

    The results of a stream must come in order, each once, with the same matcher.
    """
    if result.boxes is None or result.boxes.persons is not None:
        return result
    persons = np.array(matcher.number(result.boxes.xyxy), dtype=np.int64) + 1
    return replace(result, boxes=replace(result.boxes, persons=persons))
