"""The shell scripts that run on devices: POSIX sh, and no tool that toybox or busybox lacks.

Arguments are always passed separately, never pasted into the script.
"""

from __future__ import annotations

import os
import shlex

#: token, deadline in s, command…: runs it in a session of its own, tells `token pgid` on stderr
#: first, and kills all of the session when the command ends or the deadline is over. The deadline
#: is the device's own: it holds when nobody is connected any more.
RUN = """\
token=$1 deadline=$2; shift 2
if command -v setsid >/dev/null 2>&1; then own=setsid; else own=; fi
$own sh -c 'echo "$0 $$" >&2; exec "$@"' "$token" "$@" </dev/null &
job=$!
$own sh -c 'sleep "$1"; kill -9 "-$2" "$2"' sh "$deadline" "$job" </dev/null >/dev/null 2>&1 &
guard=$!
wait "$job"; code=$?
kill -9 "-$job" >/dev/null 2>&1
kill -9 "-$guard" "$guard" >/dev/null 2>&1
exit "$code"
"""

#: pgid
KILL = 'kill -9 "-$1" 2>/dev/null || kill -9 "$1" 2>/dev/null; exit 0'

#: prints one number for the size and times of the files of a NUL-separated list; GNU, BSD
_LISTING = """\
listing() {
  if stat -c %s / >/dev/null 2>&1; then xargs -0 stat -c '%s %Y %Z' 2>&1
  else xargs -0 stat -f '%z %m %c' 2>&1; fi | cksum
}
"""

#: folder, record: the hash of what was pushed there, its listing then, its listing now
CHECK = (
    _LISTING
    + """\
[ -r "$2/files" ] || exit 0
cat "$2/content" "$2/listing"
(cd "$1" && listing) < "$2/files"
"""
)

#: record: hash and path of each file that was pushed, NUL-separated
MANIFEST = 'cat "$1/manifest"'

#: input command, folder: removes the files of a NUL-separated list
REMOVE = '$1 | (cd "$2" && xargs -0 rm -rf --)'

#: input command, target, parent, temporary name, size, mode, record, base name, hash
PUSH_FILE = (
    _LISTING
    + """\
input=$1 target=$2 parent=$3 part=$4 size=$5 mode=$6 record=$7 base=$8 hash=$9
export LC_ALL=C
trap '' PIPE  # nobody listens any more: clean up all the same
fail() { rm -f "$part"; [ -z "$1" ] || echo "$1" >&2; exit 1; }
[ -d "$target" ] && fail "$target: Is a directory"
mkdir -p "$parent" || fail
rm -rf "$record"
$input > "$part" || fail
[ "$(wc -c < "$part")" -eq "$size" ] || fail "incomplete transfer"
chmod "$mode" "$part" && mv -f "$part" "$target" || fail
[ -n "$hash" ] || exit 0
mkdir "$record" || exit 0
printf '%s\\0' "$base" > "$record/files"
echo "$hash" > "$record/content"
(cd "$parent" && listing) < "$record/files" > "$record/listing"
exit 0
"""
)

#: exit code of PUSH_TREE on a device without tar
NO_TAR = 90

#: input command, target, parent, temporary name, record, marker: unpacks a tar archive whose last
#: member is the folder `marker`, which becomes the record
PUSH_TREE = (
    _LISTING
    + """\
input=$1 target=$2 parent=$3 part=$4 record=$5 marker=$6
export LC_ALL=C
trap '' PIPE  # nobody listens any more: clean up all the same
fail() { rm -rf "$part" "$target/$marker"; [ -z "$1" ] || echo "$1" >&2; exit 1; }
command -v tar >/dev/null 2>&1 || exit 90
mkdir -p "$parent" || fail
rm -rf "$record"
if [ -d "$target" ]; then into=$target; else into=$part; mkdir "$part" || fail; fi
$input | tar xf - -C "$into" || fail
[ -r "$into/$marker/files" ] || fail "incomplete transfer"
(cd "$into" && listing < "$marker/files" > "$marker/listing") || fail
mv "$into/$marker" "$record" || fail
[ "$into" = "$target" ] || mv "$part" "$target" || fail
exit 0
"""
)

#: path: `D` and a tar archive, or `F mode size` and the file
PULL = """\
export LC_ALL=C
if [ -d "$1" ]; then
  command -v tar >/dev/null 2>&1 || { echo "the device has no tar" >&2; exit 1; }
  cd "$1" || exit 1
  echo D; exec tar cf - .
fi
[ -e "$1" ] || { ls -d "$1" >/dev/null; echo "$1: No such file or directory" >&2; exit 1; }
[ -r "$1" ] || { echo "$1: Permission denied" >&2; exit 1; }
if [ -x "$1" ]; then echo "F 755"; else echo "F 644"; fi
exec cat "$1"
"""


#: words longer than this are too long for a csh
_WORD_LENGTH = 800


def command(script: str, *arguments: str) -> str:
    """One line that any login shell passes on: `script` with these arguments, in a POSIX shell.

    The login shell gets it first. csh takes neither newlines nor `!` in quotes, fish has its own
    idea of `\\`, and none is to see other bytes than ASCII: all these are written as `\\0ooo`.
    """
    words = " ".join(shlex.quote(argument) for argument in arguments)
    coded = [_coded(character) for character in f"set -- {words}\n{script}"]
    pieces, length = [""], 0
    for piece in coded:
        length += len(piece)
        if length > _WORD_LENGTH:
            pieces.append("")
            length = len(piece)
        pieces[-1] += piece
    quoted = " ".join(f"'{piece}'" for piece in pieces)
    return f'sh -c \'eval "$(printf %b "$@")"\' sh {quoted}'


def _coded(character: str) -> str:
    if " " <= character <= "~" and character not in "\\'!":
        return character
    return "".join(f"\\0{byte:03o}" for byte in os.fsencode(character))
