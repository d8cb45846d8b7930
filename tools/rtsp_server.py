"""An RTSP server with moving test pictures, for trials on one machine; needs GStreamer's RTSP server and PyGObject.

apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly}
/usr/bin/python3 tools/rtsp_server.py --port 8554 --streams 4      # rtsp://127.0.0.1:8554/0 … /3
"""

from __future__ import annotations

import argparse
from typing import Any

PATTERNS = ("ball", "smpte", "pinwheel", "circular")


def main() -> None:
    """Serve until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--size", default="160x120")
    parser.add_argument("--rate", type=int, default=10, help="frames a second")
    options = parser.parse_args()
    Gst.init(None)
    server: Any = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    width, height = options.size.split("x")
    for number in range(options.streams):
        factory: Any = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            f"( videotestsrc is-live=true pattern={PATTERNS[number % len(PATTERNS)]} ! timeoverlay ! "
            f"video/x-raw,width={width},height={height},framerate={options.rate}/1 ! "
            f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={options.rate} ! rtph264pay name=pay0 pt=96 )"
        )
        factory.set_shared(True)
        server.get_mount_points().add_factory(f"/{number}", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
