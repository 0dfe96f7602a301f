"""Small videos of many kinds, and clips of all their frames."""

from __future__ import annotations

import base64
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from videothinker.errors import InputError
from videothinker.video.frames import FrameBudget, read_clip

EVERY = FrameBudget(fps=100.0, min_frames=2, max_frames=64, total_pixels=2**30)
"""All frames of a short video."""

KEPT = {
    "vp8.webm": (
        "c-oV4y}x+AQ(GgW({~{L)X3uWxsk)EsiizMDc7mJk;$pGkx3%BA)S!{1eo;&eP@^K^4;AXyt+lyb7flan#P3?o><"
        "7bY#{H3@9rKTPblPYdhnViMrjCFCU`ecvWZ#p4a6LVNCsK~kgGOnUEkQu@8say(Cd>}mS$$8X9z?FM&XXAe3#A+h"
        "dPKhkn{JggSyW2dLv`;(T<CTKQGqlu_?`IWKh~Vr@1sQrK6Fdtu-t@EWo0<kx}_^a|=^a6vKnI4UGo78Wli(zEND"
        "fAo)N;`iWVti`!lOoc&!~gIwBCZ7nX|lzgB&8DW0<iG{9<J6uA8978<){ao578yHxDk)DZ#0R%9}J8vs>oc+9!Ve"
        "#=s28IR$7KXWuS_TXX3=HlZt*srcEgeiu4E{`i;&#Z&NYCw`>GkpIxxcq!me(-+`~RPJzN<vYh8ODl{X{N#)<)#<"
        "|21u3SiGc>L4#o<69czk0)qsDf(`o@Mu#{2|N9wFvOZw=m$Uvs1ZxMw;@OQ10Stn0RTlbR7{074u3$LDxeY8?!B7"
        "a3l!yRI@@`}P>?6z(z_55`Bf|oaPJXbYi~&%xM&oq?!&$Jt69_2<3+?YOKBw$F$MAdePlLs?8W}!-B!v;~a&%@1("
        "Rk0muy}bRqXdH?GlQ^zfJg#E!TSaKm$k~jwcq~r)%D^}qU$UePW=BrWd{Su21W-YLqN{{D*eKk;bFf8STY0IdKAf"
        "7jf@k}ojtwi5yNi>u-py?Lzt;D2I{|GREs`qH*I+007~K$clU2@WZ2#X%t{}d7%M(BG6MiQG!C%"
    ),
    "vp9.webm": (
        "c-oV4y}x+AQ(GgW({~{L)X3uWxsk)EsiizMDc7mJk;$pGkx3%BA)S!{1enDIeP@^K^4;AXyt+lyb7flan#P3?o><"
        "7bY#{H3@9rKTPblPYdhnViMrjCFCU`ecvWc1T4a6LVNCsK~kgGOnUEkQu@8say(Cd>}mS$$8X9z?FM&XXAe3#A+h"
        "dPKhkn{JggSyW2dLv`;(GKHPk8ZpcJo|i3BZJb`InAYcDIJXrZLMMPVF8xSjf~2Vn_HNYq8J{uZD=&u)u;gS^Nr%"
        "-1<3~*(of8CUEJ>K=j`v|8syTBYHM-vrsM<N$q4h)Pb_p@+~E=$<QU@V@8{A!*}%XGjPy(_3?P6(-g#T8WApPyhQ"
        "-Gk85kOxJe!>um_9ImW3W(>k#J&QFi2ovNdEr+zpblUX37LdxBr6w3+GI*HRC$Nz`*kC?El~P+jMWn{|btkq)^8H"
        "aPtF(#S0o4G#J_#945&K0Aqt0sK4xTk8|{oxJfBKn;oy*N?1I-ks$!0LIJ8G`R@0E=Q@jLHZoKoNhkodp5!$zII)"
        "ERq-Oz|)F~4u=?0L*33S8$J&@yAyrz-i15o0?q&W&c4Pc21=YnnW_j<naW(zRt3U;bLXtvQ_<|}7za+6{4v_?h=R"
        "Ab7v>{n?3I*HK%O?*S;4z=n>ASW?qpi32>2y$3Fqmgj}M8W_r(KY|uafZdS8X0$>%7g^`?v7Ib{+<Dplqc@)-`vQ"
        "sy$hISJ~lB{d}w3_0L=pot^"
    ),
}
"""12 pictures of 32x48, zlib and base 85, from `write`, which cannot write them everywhere.

Where decord was loaded before PyAV, its libvpx stands in for PyAV's, and does not fit."""


def kept(path: Path) -> Path:
    """The file of this name, written out."""
    path.write_bytes(zlib.decompress(base64.b85decode(KEPT[path.name])))
    return path


def pictures(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A bright square that moves over a ramp; no two pictures are alike."""
    shown = np.zeros((count, height, width, 3), np.uint8)
    shown[...] = np.linspace(0, 120, width, dtype=np.uint8)[:, None]
    for number in range(count):
        left = number * (width - 16) // max(1, count - 1)
        shown[number, 16:32, left : left + 16] = 255 - number
    return shown


def write(
    path: Path,
    shown: np.ndarray,
    codec: str = "libx264",
    *,
    rate: int = 25,
    pixels: str = "yuv420p",
    times: list[int] | None = None,
    turned: int = 0,
    container: dict[str, Any] | None = None,
    **options: str,
) -> Path:
    """A video file; times are in hundredths of a second."""
    with av.open(str(path), "w", **(container or {})) as target:
        stream = target.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = shown.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = int(options.pop("gop", 12))
        if times:
            stream.codec_context.time_base = Fraction(1, 100)
        if turned:
            stream.set_display_rotation(turned)
        for number, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 100)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


def whole(path: Path) -> list[np.ndarray]:
    """All frames of a file, read from its start to its end."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def refused(path: Path, video: FrameBudget = EVERY, **part: float) -> str:
    """The reason for which a video is not read."""
    with pytest.raises(InputError) as caught:
        read_clip(path, video, **part)
    name, _, reason = str(caught.value).partition(": ")
    assert name == str(path)
    assert reason
    assert "\n" not in reason
    return reason
