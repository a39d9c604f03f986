"""The shell scripts of the store on a device: POSIX sh, and no tool that toybox or busybox lacks.

Arguments are passed separately, never in the script. An entry is a folder `<store>/<key>` with
`.bench` (its size in KB, written last) and `.used` (a count that rises with each use: clocks of
phones jump).
"""

from __future__ import annotations

from typing import Final

#: store, key…: prints those that are there, and marks them as used
ASK: Final = """\
store=$1; shift
[ -d "$store" ] || exit 0
count=$(cat "$store/.count" 2>/dev/null); count=$((${count:-0} + 1))
echo "$count" > "$store/.count"
for key; do
  [ -f "$store/$key/.bench" ] || continue
  echo "$count" > "$store/$key/.used"
  echo "$key"
done
exit 0
"""

#: store, word of this process: removes what others left unfinished; entries, and what is free
LIST: Final = """\
store=$1 process=$2
mkdir -p "$store" || exit 1
for part in "$store"/.part-*; do
  case $part in "$store/.part-$process"*|"$store/.part-*") ;; *) rm -rf "$part" ;; esac
done
for entry in "$store"/*; do
  if [ -f "$entry/.bench" ]; then
    used=$(cat "$entry/.used" 2>/dev/null)
    echo "entry ${used:-0} $(cat "$entry/.bench") ${entry##*/}"
  elif [ -d "$entry" ]; then rm -rf "$entry"
  fi
done
echo "df $(df -kP "$store" | tail -n 1)"
"""

#: store, key…
REMOVE: Final = """\
store=$1; shift
for key; do
  rm -f "$store/$key/.bench" && rm -rf "$store/$key" || exit 1
done
"""

#: part
DROP: Final = 'rm -rf "$1"'

#: folder: `sha256` or `cksum`, and the hash of the hashes of all of its files
DIGEST: Final = """\
export LC_ALL=C
rm -rf "$1"/.*.pushed
cd "$1" || exit 1
if command -v sha256sum >/dev/null 2>&1; then tool=sha256 sum=sha256sum
elif command -v shasum >/dev/null 2>&1; then tool=sha256 sum="shasum -a 256"
else tool=cksum sum=cksum
fi
echo "$tool $(find . -type f -print0 | sort -z | xargs -0 $sum | $sum)"
"""

#: part, name of the archive in it
UNPACK: Final = """\
cd "$1" || exit 1
command -v tar >/dev/null 2>&1 || { echo "no tar on the device" >&2; exit 1; }
mkdir tree || exit 1
tar xzf "$2" -C tree || { rm -rf tree; mkdir tree && gzip -dc "$2" | tar xf - -C tree; } || exit 1
rm -f "$2"
"""

#: store, part, key, KB: the entry counts from the rename on
FINISH: Final = """\
store=$1 part=$2 key=$3
cat "$store/.count" > "$part/.used" 2>/dev/null || echo 1 > "$part/.used"
echo "$4" > "$part/.bench" || exit 1
sync
rm -rf "$store/$key"
mv "$part" "$store/$key"
"""
