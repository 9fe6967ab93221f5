"""Stand-in for Hallo3's hallo3/sample_video.py at e342dce: arguments, list, checks, names."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

import yaml


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--base", nargs="*", required=True)
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--input-file", default="input.txt")
    parser.add_argument("--output-dir", default="samples")
    return parser.parse_args()


def joined() -> socket.socket:
    """The rendezvous of distributed training: a port in use ends the run."""
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        assert os.environ[name] == "1", name
    for name in ("RANK", "LOCAL_RANK"):
        assert os.environ[name] == "0", name
    meeting = socket.socket()
    meeting.bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    meeting.listen()
    return meeting


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    config = {}
    for path in args.base:
        config |= yaml.safe_load(Path(path).read_text(encoding="utf-8")).get("args", {})
    assert config["image2video"]
    assert config["input_type"] == "txt"
    load, separator = Path(config["load"]), Path(config["audio_separator_model_path"])
    play.needed(separator.parent, config["wav2vec_model_path"])
    play.needed(Path(config["face_analysis_model_path"]) / "models")
    play.needed(load / "latest", load / "1" / "mp_rank_00_model_states.pt")
    with joined():
        for line in Path(args.input_file).read_text(encoding="utf-8").splitlines():
            parts = line.strip().split("@@")
            assert len(parts) == 3, line
            image, audio = Path(parts[1]), Path(parts[2])
            assert image.exists(), image
            assert audio.exists(), audio
            folder = Path(args.output_dir) / f"{image.stem}-{audio.stem}-seed_{args.seed}"
            folder.mkdir(parents=True, exist_ok=True)
            play.seconds(audio)
            voices = Path(".cache/audio_preprocess")
            voices.mkdir(parents=True, exist_ok=True)
            (voices / f"{audio.stem}.txt").write_text(str(os.getpid()))
            (folder / f"{image.stem}_mask.png").touch()
            silent = folder / "000000.mp4"
            result = folder / "000000_with_audio.mp4"
            play.play(result, image=image, audio=audio, silent_first=silent)
            silent.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
