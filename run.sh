#!/usr/bin/env bash
# One command for a fresh machine: makes .venv on the first call (Python 3.11 or newer, no root, no conda), then
#   ./run.sh demo [snakemake options]   runs the main job, writes the report, prints the table
#   ./run.sh test [pytest options]      passes the tests (lint, types, units, whole runs)
#   ./run.sh cluster [pytest options]   passes the tests on a real Slurm of one node (as root on Debian; minutes)
#   ./run.sh ffmpeg [pytest options]    passes the tests of media with an older FFmpeg on the PATH (Debian; minutes)
#   ./run.sh iqa [pytest options]       makes .venv-iqa with pyiqa (non-commercial licence) beside .venv, passes the tests of `iqa`
#   ./run.sh soak [kills]               kills the run 200 times at random, compares every table (an hour and more)
#   ./run.sh docs                       builds the documentation as a site (build/site), in .venv-docs
#   ./run.sh publishing                 passes the tests of published folders with mlcroissant and datasets, in .venv-publish
#   ./run.sh setup                      only makes .venv
# demo, test and setup take --cpu first: PyTorch without CUDA, from PyTorch's own index or the folder $SFQA_TORCH_INDEX.
set -euo pipefail
cd "$(dirname "$0")"
goal=${1:-help}
shift || true
cpu=
if [ "${1:-}" = --cpu ]; then
    cpu=-cpu
    shift
fi

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "run.sh: Python 3.11 or newer is needed and none was found; install one or set PYTHON" >&2
    return 1
}

# PyTorch without the libraries of CUDA; its other dependencies come with the rest.
install_cpu_torch() {
    local index=${SFQA_TORCH_INDEX:-https://download.pytorch.org/whl/cpu} source
    source=(--index-url "$index")
    [ -d "$index" ] && source=(--no-index --find-links "$index")
    echo "run.sh: installing PyTorch without CUDA from $index into .venv" >&2
    grep -E '^torch(vision)?==' requirements.txt |
        xargs .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "${source[@]}" || {
        echo "run.sh: PyTorch could not be installed from $index; set SFQA_TORCH_INDEX to a mirror of that index or to a" \
            "folder with the wheels of torch and torchvision, or leave out --cpu" >&2
        return 1
    }
}

# The stamp names what was installed, so that a new pin installs again and nothing else does.
setup() {
    local wanted=$1 stamp python
    stamp=.venv/.installed-$(cksum <"$wanted" | cut -d' ' -f1)-$(cksum <requirements.txt | cut -d' ' -f1)
    if [ -e "$stamp$cpu" ]; then
        link_command
        return
    fi
    python=$(find_python)
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    if [ -n "$cpu" ]; then
        install_cpu_torch
    else
        echo "run.sh: installing $wanted into .venv (a few minutes, about 6 GB with torch; without CUDA: --cpu)" >&2
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$wanted"
    link_command
    touch "$stamp$cpu"
}

# With .venv/bin on the PATH, the command can be typed as messages name it: sfqa.
link_command() {
    [ -e .venv/bin/sfqa ] || ln -sfn ../../sfqa .venv/bin/sfqa
}

# An environment of its own for tools that need nothing of the project.
make_environment() {
    local stamp
    stamp=$1/.installed-$(cksum <"$2" | cut -d' ' -f1)
    [ -e "$stamp" ] && return
    [ -x "$1/bin/python" ] || "$(find_python)" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2"
    touch "$stamp"
}

case $goal in
    demo)
        setup requirements.txt
        export PATH="$PWD/.venv/bin:$PATH"
        snakemake --cores "$(nproc)" "$@"
        snakemake --cores 1 --report results/demo/report/report.html --quiet "$@" >/dev/null 2>&1 ||
            { echo "run.sh: the tables are whole, the HTML report was not written; try: snakemake --report report.html" >&2; exit 1; }
        ./sfqa results show results/demo
        echo
        echo "Report: results/demo/report/report.html"
        echo "Site:   results/demo/report/site/index.html"
        ;;
    test)
        setup requirements-dev.txt
        export PATH="$PWD/.venv/bin:$PATH"
        ruff check .
        ruff format --check .
        snakefmt --check Snakefile workflow
        cores=$(nproc)
        mypy --num-workers "$cores" workflow/scripts/sfqa
        # By file, in order: tests of a file share their whole run, and the fast tiers come first.
        exec python -m pytest -n "$((cores < 8 ? cores : 8))" --dist loadfile --no-loadscope-reorder "$@"
        ;;
    cluster)
        setup requirements-cluster.txt
        export PATH="$PWD/.venv/bin:$PATH"
        # Without root, or where this fails, the tests are skipped and say why.
        type -P slurmctld slurmd munged sbatch >/dev/null || {
            [ "$(id -u)" = 0 ] && apt-get update -qq &&
                apt-get install -y -qq --no-install-recommends munge slurmctld slurmd slurm-client >/dev/null
        } || echo "run.sh: no Slurm could be installed (root and Debian's packages are needed)" >&2
        SFQA_CLUSTER=1 exec python -m pytest tests/cluster "$@"
        ;;
    ffmpeg)
        setup requirements-dev.txt
        media=(tests/test_media.py tests/test_loudness.py tests/test_ffmpeg_program.py tests/conform
            tests/materials/test_clips.py tests/generation/test_check.py)
        # Debian 13 has the oldest supported version, 7.1; 5.1 of Debian 12 must be passed over.
        for release in trixie bookworm; do
            .ci/fetch_ffmpeg "$release" ".venv/ffmpeg-$release"
            echo "run.sh: the tests of media with $(".venv/ffmpeg-$release/bin/ffmpeg" -version | head -n 1 | cut -d ' ' -f 1-3) on the PATH"
            # FFmpeg 7.1 ends itself on two Matroska files in one (a failed row), and is .07 s off where a sound begins a recording.
            PATH="$PWD/.venv/ffmpeg-$release/bin:$PWD/.venv/bin:$PATH" python -m pytest -n 2 "${media[@]}" \
                --deselect tests/conform/test_changes.py::test_frames_that_come_too_late_are_counted \
                --deselect tests/conform/test_joined_sounds.py::test_a_later_recording_may_begin_with_its_sound "$@"
            media=(tests/test_media.py tests/test_ffmpeg_program.py tests/materials/test_clips.py)
        done
        ;;
    iqa)
        setup requirements-dev.txt
        stamp=.venv-iqa/.installed-$(cksum <requirements-iqa.txt | cut -d' ' -f1)
        if [ ! -e "$stamp" ]; then
            [ -x .venv-iqa/bin/python ] || .venv/bin/python -m venv .venv-iqa
            # .venv-iqa holds only what .venv does not have.
            .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
                >"$(.venv-iqa/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
            .venv-iqa/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-iqa.txt
            touch "$stamp"
        fi
        SFQA_TESTS=all exec .venv-iqa/bin/python -m pytest tests/features/test_iqa.py tests/features/test_focusq.py tests/features/test_qalign.py "$@"
        ;;
    soak)
        setup requirements-dev.txt
        export PATH="$PWD/.venv/bin:$PATH"
        exec python tests/faults/harness.py --seed 1 --kills "${1:-200}"
        ;;
    docs)
        make_environment .venv-docs requirements-docs.txt
        PATH="$PWD/.venv-docs/bin:$PATH" exec .venv-docs/bin/python .ci/build_docs.py "$@"
        ;;
    publishing)
        setup requirements-dev.txt
        make_environment .venv-publish requirements-publish.txt
        SFQA_PUBLISH_PYTHON="$PWD/.venv-publish/bin/python" SFQA_TESTS=all \
            exec .venv/bin/python -m pytest tests/publishing "$@"
        ;;
    setup)
        setup requirements.txt
        ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "$0"
        [ "$goal" = help ] || { echo "run.sh: unknown word '$goal'" >&2; exit 2; }
        ;;
esac
