#!/bin/sh
# Write the locks again: dockerfiles/lock.sh [NAME…]; without a name, all of them.
#
# Needs `uv`, and a place that has the CPU build of torch: a folder of wheels named by
# PIP_FIND_LINKS, or PyTorch's CPU index named by UV_INDEX.
# Pins that are in a lock stay; delete the lock first to get the newest of everything.
# NAME/overrides.in has versions that replace what packages ask for, and packages to leave out.
set -eu
cd "$(dirname "$0")"
UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo "${PIP_FIND_LINKS:-}" | tr ' ' ',')}"
export UV_FIND_LINKS

lock() { # lock INPUT OUTPUT [OPTION…]
    input=$1
    output=$2
    shift 2
    echo "$output" >&2
    uv pip compile --quiet --no-config --generate-hashes --index-strategy unsafe-best-match \
        --no-emit-index-url --no-emit-find-links --no-header \
        --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
        --output-file "$output" "$@" "$input"
}

if [ $# -eq 0 ]; then
    set -- */
    lock torch.in torch.lock
fi
for name in "$@"; do
    name=${name%/}
    [ -f "$name/requirements.in" ] || continue
    set --
    ! grep -q '^torch==' "$name/requirements.in" || set -- "$@" --constraints torch.lock
    [ ! -f "$name/overrides.in" ] || set -- "$@" --overrides "$name/overrides.in"
    lock "$name/requirements.in" "$name/requirements.lock" "$@"
done
