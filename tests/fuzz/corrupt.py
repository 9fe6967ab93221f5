"""200 broken or strange video files, each by name, the same bytes at every call.

``python tests/fuzz/corrupt.py FOLDER [NAME...]`` (with ``PYTHONPATH=workflow/scripts``) writes them
out, to look at one by hand.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from sfqa import identity, media

Make = Callable[[Path], None]

_TONE = "sine=frequency=440:sample_rate=16000:duration={},tremolo=f=4:d=0.9"
_PICTURE = "testsrc2=size=96x64:rate=25:duration=1"
_H264 = "-c:v libx264 -preset veryfast -crf 30 -g 12 -pix_fmt yuv420p -threads 1"
_PORTRAIT = Path(__file__).parents[2] / "resources/demo/portrait01.webp"
#: The portrait sways, so that what decodes has something for every extractor.
_FACE, _SWAYS = "-loop 1 -framerate 25 -t 1 -i", "-vf rotate=0.06*sin(9*t)"
#: Sound files whose bytes the corruptions are made of: one second, 25 frames of 96x96.
_BASES = {
    "mp4": f"{_H264} -c:a aac -movflags +faststart .mp4",
    "tail": f"{_H264} -c:a aac .mp4",
    "fragmented": f"{_H264} -c:a aac -movflags frag_keyframe+empty_moov .mp4",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -c:a aac .mp4",
    "mkv": f"{_H264} -c:a flac .mkv",
    "webm": "-c:v libvpx -deadline realtime -threads 1 -b:v 99k -c:a libopus -ar 48000 .webm",
    "avi": "-c:v mpeg4 -threads 1 -c:a libmp3lame .avi",
    "mov": "-c:v mjpeg -pix_fmt yuvj420p -threads 1 -c:a pcm_s16le .mov",
}


def ffmpeg(*arguments: object, target: Path) -> None:
    """Run ffmpeg with arguments as on a command line; the target's suffix is the last of them."""
    words = [w for a in arguments for w in (a if isinstance(a, list) else str(a).split())]
    made = target.with_name(f"{target.stem}.making{words.pop()}")
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    command = [media.ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *words, *exact, str(made)]
    subprocess.run(command, check=True, timeout=120)
    made.replace(target)


@cache
def base(name: str, folder: Path) -> bytes:
    """Return the bytes of a sound file of a kind of :data:`_BASES`, made once per folder."""
    path = folder / f"{name}.base"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        face = folder / "portrait01.png"
        with Image.open(_PORTRAIT) as picture:
            picture.resize((96, 96)).save(face)
        inputs = _FACE, [str(face)], f"-f lavfi -i {_TONE.format(1)}"
        ffmpeg(*inputs, _SWAYS, _BASES[name], target=path)
    return path.read_bytes()


# Boxes of an MP4 file


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the boxes of a sound file between two places."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start, start + size
        start += size


def box(data: bytes, path: str) -> tuple[int, int]:
    """Return start and end of a box, e.g. ``moov/trak[1]/mdia``; the first where none is said."""
    start, end, skip = 0, len(data), 0
    for step in path.split("/"):
        kind, _, which = step.rstrip("]").partition("[")
        found = [(a, b) for k, a, b in boxes(data, start + skip, end) if k == kind.encode()]
        start, end = found[int(which or 0)]
        skip = 8 + {"stsd": 8, "dref": 8, "avc1": 78, "mp4a": 28}.get(kind, 0)
    return start, end


_MDIA = "moov/trak/mdia"
_STBL = f"{_MDIA}/minf/stbl"
_SOUND_STBL = "moov/trak[1]/mdia/minf/stbl"
_ELST = "moov/trak/edts/elst"
_HUGE, _LAST = 0x7FFFFFFF, 0xFFFFFFFF

#: Number -> path of the box, offset in it, format, value. Offsets from ISO/IEC 14496-12.
_FIELDS: dict[str, tuple[str, int, str, int | bytes]] = {
    "movie_scale_0": ("moov/mvhd", 20, ">I", 0),
    "movie_endless": ("moov/mvhd", 24, ">I", _LAST),
    "media_scale_0": (f"{_MDIA}/mdhd", 20, ">I", 0),
    "media_scale_1": (f"{_MDIA}/mdhd", 20, ">I", 1),
    "media_scale_last": (f"{_MDIA}/mdhd", 20, ">I", _LAST),
    "media_endless": (f"{_MDIA}/mdhd", 24, ">I", _LAST),
    "sound_scale_1": ("moov/trak[1]/mdia/mdhd", 20, ">I", 1),
    "sound_endless": ("moov/trak[1]/mdia/mdhd", 24, ">I", _LAST),
    "track_endless": ("moov/trak/tkhd", 28, ">I", _LAST),
    "track_size_0": ("moov/trak/tkhd", 84, ">Q", 0),
    "matrix_0": ("moov/trak/tkhd", 48, ">36s", bytes(36)),
    "matrix_noise": ("moov/trak/tkhd", 48, ">36s", bytes(range(100, 136))),
    "width_0": (f"{_STBL}/stsd/avc1", 32, ">H", 0),
    "height_0": (f"{_STBL}/stsd/avc1", 34, ">H", 0),
    "size_last": (f"{_STBL}/stsd/avc1", 32, ">I", _LAST),
    "config_noise": (f"{_STBL}/stsd/avc1/avcC", 8, ">24s", bytes(range(24))),
    "config_0": (f"{_STBL}/stsd/avc1/avcC", 8, ">24s", bytes(24)),
    "delta_0": (f"{_STBL}/stts", 20, ">I", 0),
    "delta_huge": (f"{_STBL}/stts", 20, ">I", _HUGE),
    "delta_negative": (f"{_STBL}/stts", 20, ">I", _LAST),
    "delta_hour": (f"{_STBL}/stts", 20, ">I", 12800 * 3600),
    "sound_delta_huge": (f"{_SOUND_STBL}/stts", 20, ">I", _HUGE),
    "sound_delta_minute": (f"{_SOUND_STBL}/stts", 20, ">I", 16000 * 60),
    "frames_billion": (f"{_STBL}/stts", 16, ">I", 10**9),
    "shift_huge": (f"{_STBL}/ctts", 20, ">I", _HUGE),
    "shift_negative": (f"{_STBL}/ctts", 20, ">i", -_HUGE),
    "sample_size_huge": (f"{_STBL}/stsz", 12, ">I", _HUGE),
    "sample_size_1": (f"{_STBL}/stsz", 12, ">I", 1),
    "first_sample_huge": (f"{_STBL}/stsz", 20, ">I", _HUGE),
    "chunk_outside": (f"{_STBL}/stco", 16, ">I", _LAST),
    "chunk_in_header": (f"{_STBL}/stco", 16, ">I", 4),
    "chunk_of_huge": (f"{_STBL}/stsc", 20, ">I", _HUGE),
    "edit_negative": (_ELST, 20, ">i", -(2**31)),
    "edit_late": (_ELST, 20, ">I", _HUGE),
    "edit_endless": (_ELST, 16, ">I", _LAST),
    "edit_empty": (_ELST, 16, ">I", 0),
    "edit_rate_0": (_ELST, 24, ">I", 0),
    "edit_rate_huge": (_ELST, 24, ">I", _HUGE),
    "video_is_sound": (f"{_MDIA}/hdlr", 16, ">4s", b"soun"),
    "sound_is_video": ("moov/trak[1]/mdia/hdlr", 16, ">4s", b"vide"),
    "handler_unknown": (f"{_MDIA}/hdlr", 16, ">4s", b"zzzz"),
    "codec_hevc": (f"{_STBL}/stsd/avc1", 4, ">4s", b"hvc1"),
    "codec_mpeg4": (f"{_STBL}/stsd/avc1", 4, ">4s", b"mp4v"),
    "codec_jpeg": (f"{_STBL}/stsd/avc1", 4, ">4s", b"jpeg"),
    "codec_raw": (f"{_STBL}/stsd/avc1", 4, ">4s", b"raw "),
    "codec_unknown": (f"{_STBL}/stsd/avc1", 4, ">4s", b"zzzz"),
    "sound_codec_unknown": (f"{_SOUND_STBL}/stsd/mp4a", 4, ">4s", b"zzzz"),
    "sound_rate_1": (f"{_SOUND_STBL}/stsd/mp4a", 32, ">I", 1 << 16),
    "sound_channels": (f"{_SOUND_STBL}/stsd/mp4a", 24, ">H", 65535),
    "no_header": ("moov", 4, ">4s", b"free"),
    "no_data": ("mdat", 4, ">4s", b"free"),
    "data_is_header": ("mdat", 4, ">4s", b"moov"),
    "brand": ("ftyp", 8, ">4s", b"\0\0\0\0"),
}
_SIZED = ("ftyp", "mdat", "moov", "moov/trak", _MDIA, _STBL, *(f"{_STBL}/{k}" for k in ("stsd", "stsz", "stts")))  # fmt: skip
_COUNTED = tuple(f"{_STBL}/{k}" for k in ("stsd", "stts", "ctts", "stsc", "stsz", "stco"))


def put(data: bytes, path: str, offset: int, form: str, value: int | bytes) -> bytes:
    """Return the file with one field of one box overwritten."""
    changed = bytearray(data)
    struct.pack_into(form, changed, box(data, path)[0] + offset, value)
    return bytes(changed)


def _boxed(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _structures(data: bytes) -> dict[str, bytes]:
    """The boxes of a file in wrong places and numbers."""
    (_, f0), (m0, m1), (d0, d1) = box(data, "ftyp"), box(data, "moov"), box(data, "mdat")
    (t0, t1) = box(data, "moov/trak")
    head, moov, rest, track = data[:f0], data[m0:m1], data[m1:], data[t0:t1]
    deep = b""
    for _ in range(1000):
        deep = _boxed(b"moov", deep)
    return {
        "moov_twice": head + moov + moov + rest,
        "moov_at_both_ends": data + moov,
        "moov_cut": head + moov[: len(moov) // 2],
        "moov_deep": head + deep + rest,
        "no_moov": head + rest,
        "no_mdat": data[:d0],
        "ftyp_alone": head,
        "ftyp_many": head * 500 + data[f0:],
        "mdat_first": data[d0:d1] + head + moov,
        "tracks_300": head + _boxed(b"moov", moov[8:] + track * 300) + rest,
        "size_of_64_bits": put(data, "mdat", 0, ">I", 1),
        "trailing_noise": data + bytes(range(256)) * 64,
    }


# Bytes


def _random(name: str) -> np.random.Generator:
    return identity.random_generator("fuzz", name)


def flipped(data: bytes, density: float, rng: np.random.Generator, part: slice) -> bytes:
    """Return the file with about this share (one at least) of the bits of a part turned."""
    changed = np.frombuffer(data, np.uint8).copy()
    view = changed[part]
    places = rng.integers(0, 8 * view.size, max(1, rng.poisson(8 * density * view.size)))
    np.bitwise_xor.at(view, places // 8, (1 << (places % 8)).astype(np.uint8))
    return changed.tobytes()


def _torn(data: bytes, how: str, rng: np.random.Generator) -> bytes:
    a, b = sorted(int(p) for p in rng.integers(0, len(data), 2))
    middle = {
        "zeros": bytes(b - a),
        "ones": b"\xff" * (b - a),
        "noise": rng.bytes(b - a),
        "removed": b"",
        "twice": data[a:b] * 2,
        "reversed": data[a:b][::-1],
        "inserted": data[a:b] + rng.bytes(999),
    }
    return data[:a] + middle[how] + data[b:]


def _by_bytes(bases: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Corruptions of the bytes of a sound file."""
    for kind in ("mp4", "tail", "fragmented", "mkv", "webm", "avi"):
        for n in range(3):
            name = f"cut_{kind}_{n}"

            def cut(kind: str = kind, name: str = name) -> bytes:
                data = base(kind, bases)
                return data[: int(_random(name).integers(1, len(data)))]

            yield name, cut
    for kind in ("mp4", "fragmented", "hevc", "mkv", "avi", "mov"):
        for density in (1e-5, 1e-4, 1e-3, 1e-2):
            name = f"flip_{kind}_{density:.0e}"

            yield name, partial(_flipped, bases, kind, density, name)
    for path, count in (("moov", 12), ("mdat", 4)):
        for n in range(count):
            name = f"flip_{path}_{n}"

            def flip_box(path: str = path, n: int = n, name: str = name) -> bytes:
                data = base("mp4", bases)
                return flipped(data, (1e-3, 1e-2)[n % 2], _random(name), slice(*box(data, path)))

            yield name, flip_box
    for how in ("zeros", "ones", "noise", "removed", "twice", "reversed", "inserted"):
        name = f"torn_{how}"
        yield name, lambda how=how, name=name: _torn(base("mp4", bases), how, _random(name))
    for path in _SIZED:
        for word, size in (("huge", _HUGE), ("7", 7)):
            name = f"size_{word}_{path.rsplit('/')[-1]}"
            yield name, lambda path=path, size=size: put(base("mp4", bases), path, 0, ">I", size)
    for path in _COUNTED:
        kind = path.rsplit("/")[-1]
        place = 16 if kind == "stsz" else 12
        yield f"count_{kind}", partial(_counted, bases, path, place)
    for name, field in _FIELDS.items():
        yield f"field_{name}", lambda field=field: put(base("mp4", bases), *field)
    for name in _structures(base("mp4", bases)):
        yield f"boxes_{name}", lambda name=name: _structures(base("mp4", bases))[name]


def _flipped(bases: Path, kind: str, density: float, name: str) -> bytes:
    return flipped(base(kind, bases), density, _random(name), slice(None))


def _counted(bases: Path, path: str, place: int) -> bytes:
    return put(base("mp4", bases), path, place, ">I", _HUGE)


# Sound files that nobody expects

_GAP = "'if(lt(N,12),N,N+{})/25/TB'"
#: Name -> ffmpeg's arguments; they decode, mostly.
_STRANGE = {
    "one_frame": f"-f lavfi -i {_PICTURE} -frames:v 1 {_H264} .mp4",
    "two_frames": f"-f lavfi -i {_PICTURE} -frames:v 2 {_H264} .mp4",
    "fps_10000": f"-f lavfi -i testsrc2=size=32x32:rate=10000:duration=0.5 {_H264} .mp4",
    "fps_10000_25_frames": f"-f lavfi -i testsrc2=size=64x64:rate=10000 -frames:v 25 {_H264} .mp4",
    "fps_0.01": f"-f lavfi -i testsrc2=size=64x64:rate=1/100 -frames:v 3 {_H264} .mp4",
    "frame_8k": f"-f lavfi -i testsrc2=size=8192x4320:rate=25 -frames:v 1 {_H264} -preset ultrafast .mp4",
    "frame_15k": "-f lavfi -i color=size=15000x15000:rate=25 -frames:v 1 -pix_fmt gray -c:v png -threads 1 .mov",
    "frame_2x2": f"-f lavfi -i testsrc2=size=2x2:rate=25:duration=1 {_H264} .mp4",
    "frame_1x1": "-f lavfi -i color=size=1x1:rate=25:duration=1 -c:v png .mov",
    "frame_2x2000": f"-f lavfi -i testsrc2=size=2x2000:rate=25:duration=1 {_H264} .mp4",
    "frame_4000x4": f"-f lavfi -i testsrc2=size=4000x4:rate=25:duration=1 {_H264} .mp4",
    "sound_alone": f"-f lavfi -i {_TONE.format(1)} -c:a aac .mp4",
    "picture_alone": f"-f lavfi -i {_PICTURE} {_H264} .mp4",
    "no_packets": f"-f lavfi -i {_PICTURE} -frames:v 0 {_H264} .mp4",
    "negative_times": f"-f lavfi -i {_PICTURE} -f lavfi -i {_TONE.format(1)} {_H264} -c:a flac -output_ts_offset -5 -avoid_negative_ts disabled .mkv",
    "picture_gap_hours": f"-f lavfi -i {_PICTURE} -vf setpts={_GAP.format(25 * 3600 * 40)} -fps_mode passthrough {_H264} .mp4",
    "picture_from_hour_9": f"-itsoffset 32400 -f lavfi -i {_PICTURE} -f lavfi -i {_TONE.format(1)} -map 0 -map 1 {_H264} -c:a aac .mp4",
    "sound_from_hour_9": f"-f lavfi -i {_PICTURE} -itsoffset 32400 -f lavfi -i {_TONE.format(1)} -map 0 -map 1 {_H264} -c:a aac .mp4",
    "sound_hour": f"-f lavfi -i {_PICTURE} -f lavfi -i anullsrc=r=8000:cl=mono -t 3600 {_H264} -c:a aac -b:a 8k .mp4",
    "times_backwards": f"-f lavfi -i {_PICTURE} -c:v mjpeg -pix_fmt yuvj420p -bsf:v setts=dts=N*512:pts=(50-N)*512 -video_track_timescale 12800 .mov",
    "channels_16": f"-f lavfi -i {_PICTURE} -f lavfi -i anullsrc=cl=hexadecagonal:d=1 {_H264} -c:a pcm_s16le .mov",
    "rate_192k": f"-f lavfi -i {_PICTURE} -f lavfi -i anullsrc=r=192000:d=1 {_H264} -c:a flac .mkv",
    "interlaced_10_bit": "-f lavfi -i testsrc2=size=96x64:rate=25:duration=1 -c:v prores_ks -flags +ildct -pix_fmt yuv422p10le .mov",
    "gif": "-f lavfi -i testsrc2=size=96x64:rate=25:duration=1 .gif",
    "png": f"-f lavfi -i {_PICTURE} -frames:v 1 .png",
    "jpeg": f"-f lavfi -i {_PICTURE} -frames:v 1 .jpg",
    "wav": f"-f lavfi -i {_TONE.format(1)} .wav",
}  # fmt: skip


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("v.mp4"), bytes(4096))
    return made.getvalue()


#: Bytes that are no video; the last ones make a careless reader open other files or addresses.
_IMPOSTORS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one_byte": lambda: b"\0",
    "text": lambda: b"not a video\n" * 999,
    "html": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "lfs_pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "zeros": lambda: bytes(100_000),
    "noise": lambda: _random("noise").bytes(100_000),
    "zip": _zip,
    "tar": lambda: tarfile.TarInfo("v.mp4").tobuf() + bytes(10240 - 512),
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>',
    "playlist_of_address": lambda: (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/v.ts\n#EXT-X-ENDLIST\n"
    ),
    "playlist_of_itself": lambda: (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nimpostor_playlist_of_itself.mp4\n"
    ),
    "list_of_files": lambda: b"ffconcat version 1.0\nfile /etc/passwd\nfile /dev/zero\n",
}


# Places


def _place(how: str, path: Path, data: bytes) -> None:
    if how == "folder":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "dangling":
        path.symlink_to("nothing")
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "forbidden":
        path.write_bytes(data)
        path.chmod(0)


PLACES = ("folder", "loop", "dangling", "device", "pipe", "forbidden", "missing")
#: Names of sound files: they must come out sound.
NAMES = {"percent": "v%03d.mp4", "colon": "a:b.mp4", "spaces": "-i  é\n.mp4"}


def recipes(bases: Path) -> dict[str, Make]:
    """Return what makes each file, by name; a maker is given the path of the file to be."""

    def write(make: Callable[[], bytes], path: Path) -> None:
        path.write_bytes(make())

    def strange(arguments: str, path: Path) -> None:
        ffmpeg(arguments, target=path)

    def place(how: str, path: Path) -> None:
        _place(how, path, base("mp4", bases))

    made: dict[str, Make] = {n: partial(write, make) for n, make in _by_bytes(bases)}
    made |= {f"strange_{n}": partial(strange, a) for n, a in _STRANGE.items()}
    made |= {f"impostor_{n}": partial(write, make) for n, make in _IMPOSTORS.items()}
    made |= {f"place_{how}": partial(place, how) for how in PLACES}
    made |= {f"name_{n}": partial(write, partial(base, "mp4", bases)) for n in NAMES}
    return made


def write_all(names: list[str], folder: Path) -> dict[str, Path]:
    """Write the named files below a folder, each in a folder of its own; return their paths."""
    known = recipes(folder / "bases")
    paths = {}
    for name in names:
        own = folder / "files" / name
        own.mkdir(parents=True, exist_ok=True)
        file = NAMES.get(name.removeprefix("name_"), f"{name}.mp4")
        known[name](own / file)
        paths[name] = own / file
    return paths


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for made_name, made_path in write_all(
        sys.argv[2:] or list(recipes(out / "bases")), out
    ).items():
        print(made_name, made_path)
