"""The sampler that runs on the device: POSIX sh, made of builtins, which forks nothing but `sleep`.

On Android it also asks the thermal service, at a slower pace and in the background: an answer may
take longer than a tick.

What it prints (see `parse`), one line each:

    B <pid> <period in s>            it begins; it ends at its own deadline or with its file
    H <kind> <path> <label…>         a sensor, in the order of the values that follow
    U <kind> <path>                  a sensor that is there and that this user may not read
    T <uptime> <cpu stall> <memory stall> <available> <value…> | <cpu>,<ticks…> …    a tick
    D <line>|<line>…                 what the thermal service said of its status and of now
    X <text>                         why it cannot go on
    Q <uptime>                       it ends, and what `times` says follows

A value that cannot be read is `-`. Stalls are microseconds since boot, `available` is KiB.
Works in dash, bash, mksh (Android's, with 32-bit arithmetic), busybox ash.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

#: seconds between ticks; never less, so at most 2 Hz
PERIOD_S = 0.5
#: ticks between two runs of the slow command: every 5 s
SLOW_TICKS = 10
#: kind of device -> what is asked beside files, at the slow pace
SLOW_COMMANDS = {"android": "dumpsys thermalservice"}
#: kind of device -> what an INA238 measures, which has no label of its own: a Thor's input
INA238_RAILS = {"jetson": "VIN"}

#: root of the file tree ("" the device's own, or what BENCH_SYSFS names), a file that is made at
#: the start and whose removal ends it, deadline in s, period in s, CPUs of the job (throttle
#: counters of the others are not read), mask of the CPUs for the sampler itself ("" any), slow
#: command, ticks between its runs, name of the rail that an INA238 measures ("" none)
SCRIPT = r"""
root=${1:-$BENCH_SYSFS} on=$2 period=$4 cpus=" $5 " slow=$7 every=$8 ina=$9
export LC_ALL=C
exec 2>/dev/null
up=; read -r up rest < /proc/uptime
[ -n "$up" ] || { echo "X no /proc/uptime: this system has no Linux sensors"; exit 0; }
end=$((${up%%.*} + $3))
[ -z "$6" ] || taskset -p "$6" $$ >/dev/null
mkdir -p "${on%/*}"; true > "$on" || { echo "X cannot write $on"; exit 0; }
sleep 0.01 || period=1
echo "B $$ $period"
[ -z "$root" ] || echo "H root $root"
cd "$root/sys" || echo "X no $root/sys"
files=
sensor() {
  [ -e "$2" ] || return
  [ -r "$2" ] || { echo "U $1 $2"; return; }
  files="$files $2"; echo "H $*"
}
for d in devices/system/cpu/cpu[0-9]*; do
  c=${d##*/cpu}
  one= more=; read -r one more < "$d/cpufreq/affected_cpus"
  if [ "${one:-$c}" = "$c" ]; then
    sensor frequency "$d/cpufreq/scaling_cur_freq" "$c $more"
    sensor limit "$d/cpufreq/scaling_max_freq" "$c $more"
  fi
  case $cpus in "  " | *" $c "*)
    for f in "$d"/thermal_throttle/*_throttle_count; do sensor count "$f" "cpu$c ${f##*/}"; done
  esac
done
for d in class/thermal/thermal_zone[0-9]*; do
  label=; read -r label < "$d/type"; sensor temperature "$d/temp" "$label"
done
for d in class/thermal/cooling_device[0-9]*; do
  label=; read -r label < "$d/type"; sensor cooling "$d/cur_state" "$label"
done
for d in class/hwmon/hwmon[0-9]*; do
  name=; read -r name < "$d/name"
  case $name in
  coretemp | k10temp | zenpower)
    # AMD's first one may have an offset for fans, Tdie has none
    f=temp1 label=; read -r label < "$d/temp2_label"; [ "$label" = Tdie ] && f=temp2
    sensor temperature "$d/${f}_input" "$name" ;;
  ina238) [ -z "$ina" ] || sensor rail_uw "$d/power1_input" "$ina" ;;
  ina3221*) for n in 1 2 3; do
    label=; read -r label < "$d/in${n}_label"
    sensor rail_mv "$d/in${n}_input" "${label:-channel $n}"
    sensor rail_ma "$d/curr${n}_input" "${label:-channel $n}"
  done ;;
  soctherm_oc) for f in "$d"/oc*_event_cnt; do sensor count "$f" "${f##*/}"; done ;;
  esac
done
for d in bus/i2c/drivers/ina3221x/*/iio:device*; do
  for n in 0 1 2; do
    label=; read -r label < "$d/rail_name_$n"
    sensor rail_mw "$d/in_power${n}_input" "${label:-channel $n}"
  done
done
for d in class/powercap/intel-rapl:*; do
  label= most=; read -r label < "$d/name"; read -r most < "$d/max_energy_range_uj"
  sensor rapl_uj "$d/energy_uj" "${most:-0} $label"
done
for d in class/power_supply/*; do
  type= scope=; read -r type < "$d/type"; read -r scope < "$d/scope"
  case $type/$scope in Battery/ | Battery/System) ;; *) continue ;; esac
  for f in current_now voltage_now capacity status; do sensor "battery_$f" "$d/$f" "${d##*/}"; done
done
pick() { if [ -r "$root/proc/$1" ]; then found=$root/proc/$1; else found=/proc/$1; fi; }
pick pressure/cpu; stall=$found
pick pressure/memory; stall2=$found
pick meminfo; memory=$found
pick stat; stat=$found
ask() {  # one write, shorter than PIPE_BUF, so that it does not mix with a tick's line
  $slow | {
    said= seen= now=
    while read -r v; do
      case $v in
      "Thermal Status:"* | "IsStatusOverride: true" | "HAL Ready: false" | "ThermalHAL"*)
        said="$said|$v" ;;
      "Current temperatures"*) seen="|$v" now=1 ;;
      *:) now= ;;
      *mType=[678],*) ;;
      "Temperature{"*) [ -z "$now" ] || seen="$seen|$v" ;;
      esac
    done
    echo "D ${said#|}$seen"
  }
}
set -f
n=0 asked=
while :; do
  read -r up rest < /proc/uptime
  out="T $up"
  e=; read -r a b c d e < "$stall"; out="$out ${e:--}"
  e=; read -r a b c d e < "$stall2"; out="$out ${e:--}"
  free=-
  while read -r k v rest; do
    case $k in MemAvailable:) free=$v; break; esac
  done < "$memory"
  out="$out $free"
  for f in $files; do v=; read -r v rest < "$f"; out="$out ${v:--}"; done
  out="$out |"
  while read -r k a b c d e f g h rest; do
    case $k in cpu) ;; cpu*) out="$out ${k#cpu},$a,$b,$c,$d,$e,$f,$g,$h" ;; *) break ;; esac
  done < "$stat"
  echo "$out" || exit 0
  if [ -n "$slow" ] && [ $((n % every)) = 0 ] && { [ -z "$asked" ] || ! kill -0 "$asked"; }; then
    ask & asked=$!
  fi
  n=$((n + 1))
  [ -e "$on" ] || break
  [ "${up%%.*}" -lt "$end" ] || { echo "X deadline reached"; break; }
  sleep "$period"
done
[ -z "$asked" ] || kill "$asked"
read -r up rest < /proc/uptime
echo "Q $up"
times
rm -f "$on"
"""


def command(
    kind: str,
    switch: PurePosixPath,
    deadline_s: int,
    *,
    cpus: Sequence[int] = (),
    apart: Sequence[int] = (),
    root: str = "",
    period_s: float = PERIOD_S,
) -> tuple[str, ...]:
    """The sampler's command line, which runs on the device while the file `switch` exists.

    `apart` are the CPUs to pin it to, if the device has `taskset`."""
    if period_s < PERIOD_S:
        raise ValueError(f"a period of {period_s} s exceeds 2 Hz")
    arguments = (
        root,
        str(switch),
        str(deadline_s),
        f"{period_s:g}",
        " ".join(map(str, cpus)),
        f"{sum(1 << cpu for cpu in set(apart)):x}" if apart else "",
        SLOW_COMMANDS.get(kind, ""),
        str(SLOW_TICKS),
        INA238_RAILS.get(kind, ""),
    )
    return ("sh", "-c", SCRIPT, "sh", *arguments)
