"""Stand-in for SkyReels-A1's inference_audio_long_video.py at 52ee51a: as the short one's."""

from __future__ import annotations


def main() -> None:
    from inference_audio import run

    run(("film_net/film_net_fp16.pt",))


if __name__ == "__main__":
    main()
