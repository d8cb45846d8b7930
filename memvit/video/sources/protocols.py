"""What FFmpeg may use to read a location: containers that hold the video itself, and the protocols of its address.

Without such lists a text under the name of a video could have FFmpeg read any other file or address.
"""

from __future__ import annotations

from memvit.video.sources.location import is_camera, is_url

FILE_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc,vvc,vc1,m4v,ivf,obu,av1,mjpeg,gif,nut,dv,gxf,wtv,"
    "rm,yuv4mpegpipe,mp3,aac,flac,wav"
)
"""None of them names other files to read, as a playlist does. Those of sound are told apart from files of no use."""
NETWORK_FORMATS = f"{FILE_FORMATS},hls,dash,rtsp,rtp,sdp,mpjpeg,live_flv,ac3,eac3,webvtt"
_WEB = "http,https,tcp,tls,crypto,data"
_PROTOCOLS = {
    "http": _WEB,
    "https": _WEB,
    "rtsp": "rtsp,rtp,srtp,udp,tcp,tls",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "rtmpt": "rtmpt,ffrtmphttp,http,tcp",
    "rtp": "rtp,srtp,udp",
}
"""Scheme → what FFmpeg may use to serve it; another scheme may use itself only. Never files."""


def ffmpeg_options(location: str) -> dict[str, str]:
    """FFmpeg's options for the protocols and formats of a location."""
    if is_camera(location):
        return {}
    if not is_url(location):
        return {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
    scheme = location.partition("://")[0].lower()
    return {"protocol_whitelist": _PROTOCOLS.get(scheme, scheme), "format_whitelist": NETWORK_FORMATS}
