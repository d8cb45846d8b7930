"""Events reach their receivers: all of them, once by key, in order per stream, whatever the receivers do."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memvit.types import MemvitError
from pipelines.serve.sinks.delivery import Delivery, RetryPolicy
from pipelines.serve.sinks.lines import LinesFile
from pipelines.serve.sinks.mqtt import MqttOptions, MqttSender
from pipelines.serve.sinks.outbox import Outbox
from pipelines.serve.sinks.sink import Message, Sender, SinkDown, SinkFilter
from pipelines.serve.sinks.webhook import Webhook, _shut
from tests.pipelines.serve.sinks.receivers import Broker, Receiver, certificate_in, free_port, told
from tests.processes import wait_for

FAST = RetryPolicy(first_seconds=0.01, longest_seconds=0.05)
ALL = {"hook": SinkFilter()}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.sqlite")
    yield made
    made.close()


def delivered(outbox: Outbox, *senders: Sender, policy: RetryPolicy = FAST) -> None:
    """Send until nothing waits."""
    delivery = Delivery("hook", outbox, senders, policy)
    delivery.start()
    wait_for(lambda: not outbox.counts().get(("hook", "waiting")), 20)
    delivery.stop()


def test_a_receiver_that_fails_in_every_way_gets_every_event_once_and_in_order(outbox: Outbox) -> None:
    receiver = Receiver([500, 200, "hang up", 200, 503, 429, "hang", 200, 200, 500])
    events = [told(number, stream) for number, stream in enumerate("ababcabcab")]
    outbox.add(events[:4], ALL)
    outbox.add(events[4:], ALL)
    delivered(outbox, Webhook(receiver.url, None, timeout_seconds=0.3))
    assert sorted(one["key"] for one in receiver.taken) == sorted(f"{event.id}-1" for event in events)
    for stream in "abc":
        sent = [one["id"] for one in receiver.taken if one["stream"] == stream]
        assert sent == [event.id for event in events if event.stream_id == stream]
    receiver.close()


def test_streams_are_sent_beside_each_other_and_each_in_order(outbox: Outbox) -> None:
    answers: list[int | str] = ["hang", 200, 500, "hang up", 200, 503]
    receiver = Receiver([*answers, *answers, 200, "hang"])
    events = [told(number, "abcdef"[number % 6]) for number in range(90)]
    outbox.add(events, ALL)
    delivered(outbox, *(Webhook(receiver.url, None, timeout_seconds=0.3) for _ in range(4)))
    assert sorted(one["key"] for one in receiver.taken) == sorted(f"{event.id}-1" for event in events)
    for stream in "abcdef":
        sent = [one["start_seconds"] for one in receiver.taken if one["stream"] == stream]
        assert sent == sorted(sent)
    receiver.close()


def test_a_request_that_is_not_answered_delays_its_stream_alone(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(["hang"])
    outbox.add([told(1, "a"), told(2, "a"), *(told(number, "b") for number in range(3, 20))], ALL)
    senders = [Webhook(receiver.url, None) for _ in range(2)]  # it would be cut off after ten seconds
    delivery = Delivery("hook", outbox, senders, FAST)
    delivery.start()
    wait_for(lambda: len(receiver.taken) == 17, 8)
    assert {one["stream"] for one in receiver.taken} == {"b"}
    receiver.close()
    delivery.stop()
    assert "takes no messages" not in caplog.text


def test_the_oldest_of_each_stream_is_next(outbox: Outbox) -> None:
    rng = random.Random(0)
    streams = [rng.choice("abcd") for _ in range(40)]
    outbox.add([told(number, stream) for number, stream in enumerate(streams)], {**ALL, "other": SinkFilter()})
    waiting = list(enumerate(streams))
    while waiting:
        without = set(rng.sample("abcd", 2))
        message, _ = outbox.next("hook", time.time(), without)
        first = next((one for one in waiting if one[1] not in without), None)
        assert (message and message.key) == (first and f"{told(first[0]).id}-1")
        if message is not None and first is not None:
            waiting.remove(first)
            outbox.sent("hook", message)


def test_a_receiver_that_is_away_gets_everything_when_it_is_back(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    delivery = Delivery(
        "hook", outbox, [Webhook(f"http://127.0.0.1:{port}/x?token=hidden", None) for _ in range(3)], FAST
    )
    with caplog.at_level(logging.WARNING, "memvit.serve"):
        delivery.start()
        outbox.add([told(number) for number in range(20)], ALL)
        wait_for(lambda: "takes no messages" in caplog.text, 10)
        receiver = Receiver(port=port)
        wait_for(lambda: len(receiver.taken) == 20, 20)
        delivery.stop()
    assert [one["start_seconds"] for one in receiver.taken] == list(range(20))
    assert caplog.text.count("takes no messages") == 1 and "hidden" not in caplog.text
    receiver.close()


def test_requests_are_signed_and_have_a_key(outbox: Outbox) -> None:
    receiver = Receiver()
    outbox.add([told(1)], ALL)
    delivered(outbox, Webhook(receiver.url, "a secret"))
    ((headers, body),) = receiver.requests
    signed = f"{headers['Memvit-Timestamp']}.".encode() + body
    assert headers["Memvit-Signature"] == "sha256=" + hmac.new(b"a secret", signed, hashlib.sha256).hexdigest()
    assert headers["Idempotency-Key"] == f"{told(1).id}-1" and json.loads(body) == told(1).to_record()
    assert abs(int(headers["Memvit-Timestamp"]) - time.time()) < 60
    receiver.close()


def test_what_is_refused_is_a_dead_letter_that_can_be_sent_again(outbox: Outbox) -> None:
    receiver = Receiver([404])
    outbox.add([told(1), told(2)], ALL)
    delivered(outbox, Webhook(receiver.url, None))
    assert [one["id"] for one in receiver.taken] == [told(2).id], "those that follow go on"
    (letter,) = outbox.dead_letters()
    assert (letter.sink, letter.key, letter.attempts) == ("hook", f"{told(1).id}-1", 1)
    assert letter.error == "the receiver answered 404"
    assert outbox.send_again(letter.number + 1) == 0 and outbox.send_again(letter.number) == 1
    delivered(outbox, Webhook(receiver.url, None))
    assert [one["id"] for one in receiver.taken] == [told(2).id, told(1).id] and not outbox.dead_letters()
    receiver.close()


def test_a_message_that_is_never_taken_is_given_up(outbox: Outbox) -> None:
    receiver = Receiver([500] * 100)
    outbox.add([told(1)], ALL)
    delivered(outbox, Webhook(receiver.url, None), policy=RetryPolicy(0.01, 0.02, give_up_seconds=0.1))
    (letter,) = outbox.dead_letters()
    assert letter.error == "the receiver answered 500" and letter.attempts > 1
    receiver.close()


@pytest.mark.parametrize("delay_seconds", [0.0, 0.2])
def test_a_receiver_that_answers_byte_by_byte_is_cut_off(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, delay_seconds: float
) -> None:
    """No single read takes too long, but the whole answer does. On a busy machine, the thread that cuts the connection
    may end a little later.
    """
    import socket

    def shut(*arguments: Any) -> None:
        _shut(*arguments)
        time.sleep(delay_seconds)

    monkeypatch.setattr("pipelines.serve.sinks.webhook._shut", shut)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(100):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.02)

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        hook = Webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/", None, timeout_seconds=0.2)
        with pytest.raises(SinkDown, match="in time"):
            hook.send(Message(1, "cam", "waving", "key", "{}"))
        assert time.monotonic() - began < 1.5
        thread.join()


def test_events_told_again_after_a_restart_are_not_sent_again(tmp_path: Path) -> None:
    receiver = Receiver()
    first = Outbox(tmp_path / "outbox.sqlite")
    first.add([told(1), told(2)], ALL)
    delivered(first, Webhook(receiver.url, None))
    first.add([told(3)], ALL)
    first.close()  # as a kill would leave it: 3 was not sent
    second = Outbox(tmp_path / "outbox.sqlite")
    second.add([told(1), told(2), told(3), told(4)], ALL)
    delivered(second, Webhook(receiver.url, None))
    assert [one["id"] for one in receiver.taken] == [told(number).id for number in (1, 2, 3, 4)]
    second.close()
    receiver.close()


def test_a_stream_whose_message_is_not_taken_delays_no_other(outbox: Outbox) -> None:
    receiver = Receiver([500])
    outbox.add([told(1, "a"), told(2, "a"), told(3, "b")], ALL)
    delivery = Delivery("hook", outbox, [Webhook(receiver.url, None)], RetryPolicy(first_seconds=60))
    delivery.start()
    wait_for(lambda: len(receiver.taken) == 1, 10)
    delivery.stop()
    assert receiver.taken[0]["stream"] == "b" and outbox.counts() == {("hook", "waiting"): 2}
    receiver.close()


def test_sinks_get_what_they_want_only(outbox: Outbox) -> None:
    filters = {
        "ends": SinkFilter(states=("end",)),
        "doors": SinkFilter(streams=("door-*",)),
        "others": SinkFilter(rules=("run*",)),
    }
    outbox.add([told(1), told(2, state="end"), told(3, "door-1"), told(4, state="update")], filters)
    assert outbox.counts() == {("ends", "waiting"): 1, ("doors", "waiting"): 1}


def test_a_file_gets_whole_lines_also_after_a_crash(outbox: Outbox, tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"half')
    outbox.add([told(1), told(2)], ALL)
    delivered(outbox, LinesFile(path))
    assert path.read_text().splitlines() == ['{"half', told(1).to_json(), told(2).to_json()]
    with pytest.raises(SinkDown, match="there is no such file or folder"):
        LinesFile(tmp_path / "none" / "x").send(Message(1, "cam", "waving", "key", "{}"))


def test_an_outbox_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_text("this is no database " * 100)
    with pytest.raises(MemvitError, match=r"bad\.sqlite: messages cannot be kept there"):
        Outbox(tmp_path / "bad.sqlite")


def received(port: int, wanted: int) -> dict[str, list[dict[str, object]]]:
    """What a broker has for a new subscriber, and what comes until there are so many messages: topic → messages."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    found: dict[str, list[dict[str, object]]] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("memvit", "hidden")
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    client.on_message = lambda client, data, message: found.setdefault(message.topic, []).append(
        json.loads(message.payload)
    )
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_for(lambda: sum(map(len, found.values())) >= wanted, 20)
    client.disconnect()
    client.loop_stop()
    return found


def test_a_broker_gets_events_and_retains_the_last_of_each_stream_and_rule(outbox: Outbox, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    options = MqttOptions("127.0.0.1", broker.port, "home", username="memvit", password="hidden", timeout_seconds=5)
    outbox.add([told(1), told(2), told(3, "door/+#")], ALL)
    delivered(outbox, MqttSender(options))
    assert received(broker.port, 2) == {
        "home/cam/waving": [told(2).to_record()],
        "home/door___/waving": [told(3, "door/+#").to_record()],
    }
    broker.close()


def test_a_broker_that_is_away_gets_everything_when_it_is_back(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(tmp_path)
    options = MqttOptions("127.0.0.1", broker.port, username="memvit", password="hidden", timeout_seconds=2)
    delivery = Delivery("hook", outbox, [MqttSender(options)], FAST)
    with caplog.at_level(logging.WARNING, "memvit.serve"):
        delivery.start()
        outbox.add([told(1)], ALL)
        wait_for(lambda: not outbox.counts(), 10)
        broker.close()
        outbox.add([told(2), told(3)], ALL)
        wait_for(lambda: "takes no messages" in caplog.text, 10)
        broker = Broker(tmp_path, broker.port)
        wait_for(lambda: not outbox.counts(), 20)
        delivery.stop()
    assert received(broker.port, 1) == {"memvit/cam/waving": [told(3).to_record()]}
    assert "hidden" not in caplog.text
    broker.close()


def test_a_wrong_password_is_said_without_it(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    sender = MqttSender(MqttOptions("127.0.0.1", broker.port, username="memvit", password="other", timeout_seconds=5))
    with pytest.raises(SinkDown, match=r"refused the connection \(.*\)") as error:
        sender.send(Message(1, "cam", "waving", "key", "{}"))
    assert "other" not in str(error.value)
    broker.close()


def test_a_broker_is_reached_over_tls_if_its_certificate_is_trusted(outbox: Outbox, tmp_path: Path) -> None:
    certificate = certificate_in(tmp_path)
    broker = Broker(tmp_path, certificate=certificate)
    options = MqttOptions(
        "127.0.0.1", broker.port, tls=True, ca_file=certificate, username="memvit", password="hidden", timeout_seconds=5
    )
    outbox.add([told(1)], ALL)
    delivered(outbox, MqttSender(options))
    with pytest.raises(SinkDown, match="certificate verify failed"):
        MqttSender(replace(options, ca_file=None)).send(Message(1, "cam", "waving", "key", "{}"))
    with pytest.raises(SinkDown):
        MqttSender(replace(options, tls=False, timeout_seconds=1)).send(Message(1, "cam", "waving", "key", "{}"))
    broker.close()
