"""Stand-in for FLOAT's generate.py at 97cfdd5: its arguments, checks and silent failures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

EMOTIONS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--pretrained_dir", default="./checkpoints")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--fix_noise_seed", action="store_true")
    parser.add_argument("--input_size", type=int, default=512)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--sampling_rate", type=int, default=16000)
    parser.add_argument("--wav2vec_model_path", default="./checkpoints/wav2vec2-base-960h")
    parser.add_argument(
        "--audio2emotion_path", default="./checkpoints/wav2vec-english-speech-emotion-recognition"
    )
    parser.add_argument("--nfe", type=int, default=10)
    for name, scale in (("a", 2.0), ("r", 1.0), ("e", 1.0)):
        parser.add_argument(f"--{name}_cfg_scale", type=float, default=scale)
    parser.add_argument("--ref_path")
    parser.add_argument("--aud_path")
    parser.add_argument("--emo", choices=EMOTIONS)
    parser.add_argument("--no_crop", action="store_true")
    parser.add_argument("--res_video_path")
    parser.add_argument("--ckpt_path", default="/an/author/s/private/place/float.pth")
    parser.add_argument("--res_dir", default="./results")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    Path(args.res_dir).mkdir(exist_ok=True, parents=True)
    play.needed(args.ckpt_path, args.wav2vec_model_path, args.audio2emotion_path, args.ref_path)
    image, audio = Path(args.ref_path), Path(args.aud_path)
    play.seconds(audio)
    if args.res_video_path is None:
        settings = (args.nfe, args.seed, args.a_cfg_scale, args.e_cfg_scale, args.emo)
        name = "nfe{}-seed{}-acfg{}-ecfg{}-{}.mp4".format(*settings)
        time = play.now().strftime("%Y-%m-%dT%H-%M-%S")
        args.res_video_path = f"{args.res_dir}/{time}-{image.stem}-{audio.stem}-{name}"
    result = Path(args.res_video_path)
    handle, silent = tempfile.mkstemp(suffix=".mp4")
    os.close(handle)
    line = f"{silent} {audio} {result}"
    if len(line.split(" ")) != 3 or not result.parent.is_dir():
        return  # the shell line fails, its message is thrown away, and so is its exit code
    play.play(result, image=image, audio=audio, silent_first=Path(silent))
    if result.exists():
        Path(silent).unlink()


if __name__ == "__main__":
    main()
