"""Where events are sent to: web-hooks, MQTT, files; from an outbox on disk, so that none is lost."""
