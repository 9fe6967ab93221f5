"""Stand-in for SadTalker's inference.py at cd4c046: its arguments, checks and names of results."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import uuid
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--driven_audio", default="./examples/driven_audio/bus_chinese.wav")
    parser.add_argument("--source_image", default="./examples/source_image/full_body_1.png")
    parser.add_argument("--ref_eyeblink")
    parser.add_argument("--ref_pose")
    parser.add_argument("--checkpoint_dir", default="./checkpoints")
    parser.add_argument("--result_dir", default="./results")
    parser.add_argument("--pose_style", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--expression_scale", type=float, default=1.0)
    for name in ("--input_yaw", "--input_pitch", "--input_roll"):
        parser.add_argument(name, nargs="+", type=int)
    parser.add_argument("--enhancer")
    parser.add_argument("--background_enhancer")
    for name in ("--cpu", "--face3dvis", "--still", "--verbose", "--old_version"):
        parser.add_argument(name, action="store_true")
    parser.add_argument(
        "--preprocess", default="crop", choices=["crop", "extcrop", "resize", "full", "extfull"]
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    image, audio = Path(args.source_image), Path(args.driven_audio)
    folder = Path(args.result_dir, play.now().strftime("%Y_%m_%d_%H.%M.%S"))
    folder.mkdir(exist_ok=True, parents=True)
    config = Path(sys.argv[0]).parent / "src" / "config"
    weights = Path(args.checkpoint_dir)
    play.needed(
        config / "facerender.yaml",
        weights / "mapping_00109-model.pth.tar",
        weights / "mapping_00229-model.pth.tar",
        weights / f"SadTalker_V0.0.2_{args.size}.safetensors",
        "gfpgan/weights/alignment_WFLW_4HG.pth",
        "gfpgan/weights/detection_Resnet50_Final.pth",
        image,
    )
    if image.suffix not in (".jpg", ".png", ".jpeg"):
        raise SystemExit(f"stand-in: {image} would be read as a video, for its suffix")
    play.seconds(audio)
    (folder / "first_frame_dir").mkdir(exist_ok=True)
    scratch = Path(f"{uuid.uuid4()}.mp4")  # the original muxes in the current folder
    scratch.touch()
    (folder / f"{image.stem}##{audio.stem}.mp4").touch()
    play.play(folder.with_name(folder.name + ".mp4"), image=image, audio=audio)
    scratch.unlink()
    if not args.verbose:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
