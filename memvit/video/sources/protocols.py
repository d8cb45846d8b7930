"""The formats and protocols that FFmpeg may use to read a location.

Without these lists, a text file with the name of a video could make FFmpeg read any other file or address.
"""

from __future__ import annotations

from memvit.video.sources.location import is_camera, is_url

FILE_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc,vvc,vc1,m4v,ivf,obu,av1,mjpeg,gif,nut,dv,gxf,wtv,"
    "rm,yuv4mpegpipe,mp3,aac,flac,wav"
)
"""Formats whose files contain the video itself and do not name other files, as playlists do. Sound formats are in
the list, so that a sound file is reported as a file without video."""
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
"""Scheme of a URL → the protocols that FFmpeg may use for it. Others may use themselves only; none reads files."""


def ffmpeg_options(location: str) -> dict[str, str]:
    """FFmpeg's options for the protocols and formats of a location."""
    if is_camera(location):
        return {}
    if not is_url(location):
        return {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
    scheme = location.partition("://")[0].lower()
    return {"protocol_whitelist": _PROTOCOLS.get(scheme, scheme), "format_whitelist": NETWORK_FORMATS}
