"""The files for containers name options, files and ports that exist. No container is run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from memvit.events.rules_file import parse_rules
from pipelines.cli.app import app
from pipelines.serve.server_config import load_config
from pipelines.web.auth import OPEN_PATHS

ROOT = Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, with its continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def argument_of(name: str) -> str:
    (found,) = [arguments for instruction, arguments in instructions() if instruction == name]
    return found


def composed(name: str = "compose.yaml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.fixture(scope="module")
def command() -> dict[str, str]:
    """Options of the server's command, and their values."""
    words = json.loads(argument_of("CMD"))
    assert json.loads(argument_of("ENTRYPOINT")) == ["memvit"] and words[0] == "serve"
    return dict(zip(words[1::2], words[2::2], strict=True))


def test_the_command_has_only_options_that_exist(command: dict[str, str]) -> None:
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in serve.params for option in parameter.opts}
    assert set(command) <= known
    assert "MEMVIT_TOKEN" in {parameter.envvar for parameter in serve.params}
    assert command["--host"] == "0.0.0.0" and composed()["services"]["memvit"]["environment"]["MEMVIT_TOKEN"]


def test_what_is_copied_is_there_and_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for arguments in [arguments for instruction, arguments in instructions() if instruction == "COPY"]:
        for source in shlex.split(arguments)[:-1] if "--from" not in arguments else []:
            assert (ROOT / source).exists() and f"!{source}" in ignored, source
    extras = re.search(r"\.\[([\w,]+)\]", (ROOT / "Dockerfile").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert extras and all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras[1].split(","))


def test_volumes_ports_and_arguments_fit_together(command: dict[str, str]) -> None:
    server = composed()["services"]["memvit"]
    mounted = [volume.split(":") for volume in server["volumes"]]
    kept = {target for source, target in mounted if not source.startswith(".")}
    assert kept == set(json.loads(argument_of("VOLUME")))
    assert {command[option] for option in ("--history", "--record", "--state")} < kept
    weights = re.search(r"TORCH_HOME=(\S+)", (ROOT / "Dockerfile").read_text())
    assert weights and weights[1] in kept
    assert {source for source, target in mounted if target in kept} < set(composed()["volumes"])
    made = " ".join(arguments for instruction, arguments in instructions() if instruction == "RUN")
    assert all(path in made.split() for path in kept)
    assert "./deploy/config:/config" in server["volumes"] and command["--config"] == "/config/server.yaml"
    assert (ROOT / "deploy" / "config" / "server.yaml").exists()
    port = argument_of("EXPOSE")
    assert command["--port"] == port and server["ports"] == [f"127.0.0.1:{port}:{port}"]
    asked = re.search(rf"127\.0\.0\.1:{port}(/\w+)", argument_of("HEALTHCHECK"))
    assert asked and asked[1] in OPEN_PATHS, "without a token"
    named = {arguments.split("=")[0] for instruction, arguments in instructions() if instruction == "ARG"}
    used = server["build"]["args"] | composed("compose.cuda.yaml")["services"]["memvit"]["build"]["args"]
    assert set(used) <= named
    users = [arguments for instruction, arguments in instructions() if instruction == "USER"]
    assert users and users[-1] not in ("root", "0")


def test_the_example_configuration_is_valid_and_sends_to_the_broker() -> None:
    config = load_config(ROOT / "deploy" / "config" / "server.yaml", {})
    host, port = config.sinks[0].target.split(":")
    broker = composed()["services"][host]
    (source, _, mode) = broker["volumes"][0].split(":")
    assert f"listener {port}" in (ROOT / source).read_text().splitlines() and mode == "ro"
    text = (ROOT / "deploy" / "config" / "server.yaml").read_text()
    assert config.rules is not None and parse_rules(text[text.index("rules:") : text.index("sinks:")]) == config.rules
    # With what is commented out, too.
    stream = re.search(r"^#  (- \{source.*)$", text, re.MULTILINE)
    assert stream and yaml.safe_load(stream[1])[0].keys() == {"source", "id"}
