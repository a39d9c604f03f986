"""Shell scripts that apply the `steady` measures on a device and restore its settings.

`WORKDIR/restore/TOKEN/` belongs to one holder: `N-MEASURE` are its records of what was there
before, the last one taken first in order; `beat` is a number it increments; `watchdog`
restores them when the number stops changing, `taker` applies them. A record ends with the line
`end` and is on disk before anything is changed: without `end`, nothing was changed.
"""

from __future__ import annotations

#: functions for both directions; `undo` is all that a record may ask for
_COMMON = r"""
R=${BENCH_SYSFS:-}
C=$R/sys/devices/system/cpu
root() {
  if [ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null 2>&1; then "$@"; else sudo -n "$@"; fi
}
get() { v=; [ -r "$1" ] && IFS= read -r v <"$1"; [ -n "$v" ]; }
put() {
  if [ -w "$1" ]; then { printf '%s\n' "$2" >"$1"; } 2>/dev/null
  else printf '%s\n' "$2" | root tee "$1" >/dev/null 2>&1; fi
  get "$1" && [ "$v" = "$2" ]
}
undo() {
  case $1 in
  file) put "$2" "$3" ;;
  nvpmodel) root nvpmodel -m "$2" ;;
  jetson_clocks) root jetson_clocks --restore "$2" ;;
  fixed_performance) cmd power set-fixed-performance-mode-enabled "$2" ;;
  stay_awake)
    if [ "$2" = null ]; then settings delete global stay_on_while_plugged_in
    else settings put global stay_on_while_plugged_in "$2"; fi ;;
  *) return 1 ;;
  esac </dev/null >/dev/null 2>&1
}
undo_record() {
  good=1
  while read -r op one two <&3; do
    [ "$op" = end ] && break
    said="$2 $op $one $two"
    if [ "$op" = file ] && [ ! -e "$one" ]; then echo "gone=$said"
    elif undo "$op" "$one" "$two"; then echo "restored=$said"
    else echo "failed=$said"; good=; fi
  done 3<"$1"
  [ -n "$good" ]
}
finish() {
  get "$1/$2" && [ -r "/proc/$v/cmdline" ] || return 0
  case $(tr '\0' ' ' <"/proc/$v/cmdline") in
  *"$1"*) kill -9 "-$v" 2>/dev/null || kill -9 "$v" 2>/dev/null ;;
  esac
}
put_back() {
  bad=
  for record in "$1"/[0-9]-*; do
    [ -f "$record" ] || continue
    last=
    while read -r last rest; do [ "$last" = end ] && break; done <"$record"
    name=${record##*/}
    if [ "$last" = end ]; then undo_record "$record" "${name#?-}" || { bad=1; continue; }; fi
    rm -f "$record"
  done
  [ -n "$bad" ] || rm -rf "$1"
}
"""

#: holder's folder, seconds between two looks, looks without a new number until it lets go
WATCH = (
    _COMMON
    + r"""
last=none missed=0
while [ -d "$1" ]; do
  sleep "$2"
  get "$1/beat" || v=
  if [ "$v" = "$last" ]; then missed=$((missed + 1)); else missed=0 last=$v; fi
  [ "$missed" -lt "$3" ] || { finish "$1" taker; put_back "$1"; exit; }
done
"""
)

#: workdir: puts back what holders left, after ending their watchdogs, and those that still take
RESTORE = (
    _COMMON
    + r"""
for T in "$1"/restore/*; do
  [ -d "$T" ] || continue
  finish "$T" taker; finish "$T" watchdog
  echo "holder=${T##*/}"
  put_back "$T"
done
rmdir "$1/restore" 2>/dev/null
exit 0
"""
)

#: holder's folder, number
BEAT = '[ -d "$1" ] && echo "$2" >"$1/.beat" && mv "$1/.beat" "$1/beat"'

#: holder's folder, watchdog's script, its seconds and looks, measures…
HOLD = (
    _COMMON
    + r"""
T=$1 watch=$2 period=$3 looks=$4; shift 4
slot=9
fail() { echo "cannot=$1"; exit 3; }
settle() { fsync "$1" 2>/dev/null || sync "$1" 2>/dev/null || sync; }
keep() {
  { cat && echo end; } >"$T/.new" && settle "$T/.new" &&
    mv "$T/.new" "$T/$slot-$1" && settle "$T" ||
    fail "$1 the old settings cannot be recorded in $T (disk full?)"
}
governors() {
  set -- "$C"/cpufreq/policy[0-9]*/scaling_governor
  [ -e "$1" ] || set -- "$C"/cpu[0-9]*/cpufreq/scaling_governor
  for f; do get "$f" && echo "$f"; done
}
take_governor() {
  files=$(governors)
  [ -n "$files" ] || fail "governor no cpufreq (virtual machine?)"
  for f in $files; do get "$f" && echo "file $f $v"; done | keep governor || exit 3
  slot=$((slot - 1))
  for f in $files; do
    put "$f" performance || fail "governor $f stays $v"
  done
  echo "held=governor=performance"
}
power_mode() {
  mode= name=
  while IFS= read -r v; do
    case $v in
    "NV Power Mode:"*) name=${v#*: } ;;
    ""|*[!0-9]*) ;;
    *) mode=$v ;;
    esac
  done <"$T/.mode"
  [ -n "$mode" ]
}
ask_mode() { root nvpmodel -q >"$T/.mode" 2>/dev/null </dev/null; power_mode; }
highest_mode() {
  best=
  while read -r a word id label rest; do
    [ "$word" = POWER_MODEL ] || continue
    case ${label#NAME=} in
    MAXN_SUPER) best=${id#ID=}; break ;;
    MAXN) [ -n "$best" ] || best=${id#ID=} ;;
    esac
  done <"$R/etc/nvpmodel.conf"
  best=${best:-0}
}
take_nvpmodel() {
  ask_mode || fail "nvpmodel \`nvpmodel -q\` reports no mode, or sudo requires a password"
  best=0; [ -r "$R/etc/nvpmodel.conf" ] && highest_mode
  if [ "$mode" != "$best" ]; then
    echo "nvpmodel $mode" | keep nvpmodel || exit 3
    slot=$((slot - 1))
    root nvpmodel -m "$best" >/dev/null 2>&1 </dev/null
    ask_mode
    [ "$mode" = "$best" ] || fail "nvpmodel mode $best was not applied; \
some modes require a reboot: run \`sudo nvpmodel -m $best\` manually once"
  fi
  echo "held=nvpmodel=${name:-$mode}"
}
take_jetson_clocks() {
  root jetson_clocks --store "$T/.clocks" >/dev/null 2>&1 </dev/null
  [ -s "$T/.clocks" ] || fail "jetson_clocks cannot store the current settings (sudo?)"
  settle "$T/.clocks"
  mv "$T/.clocks" "$T/clocks"
  echo "jetson_clocks $T/clocks" | keep jetson_clocks || exit 3
  slot=$((slot - 1))
  root jetson_clocks >/dev/null 2>&1 </dev/null || fail "jetson_clocks exit code $?"
  echo "held=jetson_clocks=on"
}
take_fixed_performance() {
  echo "fixed_performance false" | keep fixed_performance || exit 3
  slot=$((slot - 1))
  said=$(cmd power set-fixed-performance-mode-enabled true 2>&1 </dev/null) ||
    fail "fixed_performance ${said:-exit code $?}"
  case $said in *[Ff]ailed*|*nknown*) fail "fixed_performance $said" ;; esac
  echo "held=fixed_performance=on"
}
take_stay_awake() {
  old=$(settings get global stay_on_while_plugged_in 2>/dev/null </dev/null)
  case $old in ""|*[!0-9]*) old=null ;; esac
  echo "stay_awake $old" | keep stay_awake || exit 3
  slot=$((slot - 1))
  settings put global stay_on_while_plugged_in 7 >/dev/null 2>&1 </dev/null &&
    input keyevent KEYCODE_WAKEUP >/dev/null 2>&1 </dev/null ||
    fail "stay_awake \`settings put\` or \`input keyevent\` failed"
  case $(settings get global stay_on_while_plugged_in 2>/dev/null </dev/null) in
  ""|0|null) fail "stay_awake the setting remains off" ;;
  esac
  echo "held=stay_awake=on"
}
command -v setsid >/dev/null 2>&1 || fail "watchdog the device has no setsid"
mkdir -p "$T" || fail "watchdog cannot create $T"
echo $$ >"$T/taker" && echo 0 >"$T/beat" || fail "watchdog cannot write to $T (disk full?)"
setsid sh -c "$watch" sh "$T" "$period" "$looks" </dev/null >/dev/null 2>&1 &
echo $! >"$T/watchdog"
for measure in "$@"; do "take_$measure"; done
rm -f "$T/taker"
exit 0
"""
)
