"""A slow reading of the rules, written from their description alone, to compare events with."""

from __future__ import annotations

from fnmatch import fnmatch
from itertools import pairwise
from statistics import median
from typing import Any

Told = tuple[str, str, str | None, int | None, bool, float, float, float | None, float | None]
"""Rule, stream, zone, person, whether it is of an action, first and last centre, peak and mean score."""


def inside(polygon: list[list[float]], x: float, y: float) -> bool:
    """Whether a point lies in an axis-parallel rectangle that is given by its corners."""
    xs, ys = [corner[0] for corner in polygon], [corner[1] for corner in polygon]
    return min(xs) <= x <= max(xs) and min(ys) <= y <= max(ys)


def events(records: list[dict[str, Any]], rules: dict[str, Any]) -> list[Told]:
    """The events of files of results, sorted. Zones must be rectangles."""
    found: list[Told] = []
    for stream in {record["stream"] for record in records}:
        clips = [record for record in records if record["stream"] == stream]
        pairs = [(a, b) for a, b in pairwise(clips) if a["session"] == b["session"]]
        hop = median([b["seconds"] - a["seconds"] for a, b in pairs]) if pairs else 1.0
        for session in {clip["session"] for clip in clips}:
            part = [clip for clip in clips if clip["session"] == session]
            for rule in rules["rules"]:
                if any(fnmatch(stream, pattern) for pattern in rule.get("streams", ["*"])):
                    found += of_rule(part, rule, rules.get("zones", {}), stream, hop)
    return sorted(found, key=repr)


def of_rule(
    clips: list[dict[str, Any]], rule: dict[str, Any], zones: dict[str, Any], stream: str, hop: float
) -> list[Told]:
    found: list[Told] = []
    here = [name for name in rule.get("zones", []) if stream in zones[name].get("streams", [stream])]
    for zone in here if "zones" in rule else [None]:
        tracks: dict[int | None, list[tuple[float, float]]] = {}
        for clip in clips:
            people = [
                person
                for person in clip["people"]
                if zone is None
                or inside(zones[zone]["polygon"], (person["box"][0] + person["box"][2]) / 2, person["box"][3])
            ]
            if len(people) < rule.get("min_people", 1):
                continue
            for number in {person["person"] for person in people}:
                same = [person for person in people if person["person"] == number]
                scores = [
                    action["score"]
                    for person in same
                    for action in person["actions"]
                    if action["name"] in rule.get("actions", []) or action["id"] in rule.get("actions", [])
                ]
                tracks.setdefault(number, []).append((clip["seconds"], max(scores, default=0.0)))
        for number, track in tracks.items():
            allowed = rule.get("merge_seconds", 0) + hop
            if rule.get("dwell_seconds"):
                least = max(rule["dwell_seconds"], rule.get("min_seconds", 0))
                for run in runs([(time, 1.0) for time, _ in track], 0.5, 0.5, allowed):
                    if run[-1][0] - run[0][0] >= least - 1e-9:
                        found.append((rule["name"], stream, zone, number, False, run[0][0], run[-1][0], None, None))
            if rule.get("actions"):
                start = rule.get("start_score", 0.5)
                for run in runs(track, start, rule.get("keep_score", start), allowed):
                    if run[-1][0] - run[0][0] >= rule.get("min_seconds", 0) - 1e-9:
                        scores = [score for _, score in run]
                        mean = round(sum(scores) / len(scores), 4)
                        found.append(
                            (rule["name"], stream, zone, number, True, run[0][0], run[-1][0], max(scores), mean)
                        )
    return found


def runs(
    track: list[tuple[float, float]], start: float, keep: float, allowed: float
) -> list[list[tuple[float, float]]]:
    """Clips that count, one list for each event."""
    found: list[list[tuple[float, float]]] = []
    for time, score in track:
        if found and score >= keep and time - found[-1][-1][0] <= allowed + 1e-9:
            found[-1].append((time, score))
        elif score >= start:
            found.append([(time, score)])
    return found
