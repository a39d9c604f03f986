"""The queries sent to a device, as shell scripts: POSIX sh, builtins first, one round trip.

Each prints `key=value` lines, which `readings` takes apart. Missing values are not
printed. `$BENCH_SYSFS` puts another root before /sys, /proc and /etc, in tests and the lab.
"""

from __future__ import annotations

PRELUDE = r"""
R=${BENCH_SYSFS:-}
C=$R/sys/devices/system/cpu
# mksh has `print`, and no printf of its own
if [ -n "${KSH_VERSION:-}" ]; then out() { print -r -- "$1"; }
else out() { printf '%s\n' "$1"; }; fi
say() { [ -z "$2" ] || out "$1=$2"; }
get() { v=; [ -r "$1" ] && IFS= read -r v <"$1"; [ -n "$v" ]; }
first() { get "$2" && say "$1" "$v"; }
each() { while IFS= read -r v || [ -n "$v" ]; do say "$1" "$v"; done; }
free() {
  d=$1; while [ ! -d "$d" ] && [ -n "$d" ]; do d=${d%/*}; done
  df -Pk "${d:-/}" 2>/dev/null | while read -r a b c kib rest; do say free_kib "$kib"; done
}
"""

#: `python`: a program's version, once a minor one; `pythons`: of those in folders whose names tell
#: it. Of pyenv's stand-ins only the plain name is asked: each of the others is slow to say no
PYTHONS = r"""
known=
python() {
  case "$known " in *" ${1##*/python} "*) return ;; esac
  v=$("$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null </dev/null)
  case "$known " in *" ${v%.*} "*) return ;; esac
  say python "$v"
  known="$known ${v%.*}"
}
pythons() {
  for d; do
    case $d in */shims) continue ;; esac
    for p in "$d"/python3.[89] "$d"/python3.[1-9][0-9]; do
      [ -x "$p" ] && [ ! -d "$p" ] && python "$p"
    done
  done
}
"""
#: where macOS has Pythons that a login without a profile does not find: Homebrew's, python.org's,
#: MacPorts'
MACOS_PYTHONS = (
    "/opt/homebrew/bin /usr/local/bin /opt/local/bin "
    "/Library/Frameworks/Python.framework/Versions/3.*/bin"
)

#: names of the folder: `workdir` of the kind, with the user's home filled in
HOME = r"""
home=${HOME:-}; [ -n "$home" ] || home=$(cd ~ 2>/dev/null && pwd)
case $1 in "~"*) workdir=$home${1#"~"} ;; *) workdir=$1 ;; esac
say workdir "$workdir"
free "$workdir"
"""

#: /proc and /sys, the same on a host, a Jetson and a phone
CPU_MODEL = r"""
[ -r "$R/proc/cpuinfo" ] && while IFS= read -r v; do
  case $v in "model name"*) say cpu_model "${v#*: }"; break ;; esac
done <"$R/proc/cpuinfo"
"""

KERNEL_STATE = r"""
say os "$(uname -srm)"
first load "$R/proc/loadavg"
first pressure "$R/proc/pressure/cpu"
[ -r "$R/proc/meminfo" ] && while read -r k n unit; do
  case $k in MemTotal:|MemAvailable:) say "${k%:}" "$n" ;; esac
done <"$R/proc/meminfo"
first online "$C/online" || first online "$C/present"
first governor "$C/cpu0/cpufreq/scaling_governor"
for f in "$C"/cpu[0-9]*/cpufreq/scaling_cur_freq; do first freq "$f"; done
set -- "$C"/cpufreq/policy[0-9]*
[ -d "$1" ] || set -- "$C"/cpu[0-9]*/cpufreq
for p; do
  get "$p/scaling_governor" || continue
  line=${p%/cpufreq}; line="${line##*/} $v"
  for f in min cur max; do get "$p/scaling_${f}_freq"; line="$line ${v:--}"; done
  say policy "$line"
done
for z in "$R"/sys/class/thermal/thermal_zone[0-9]*; do
  get "$z/temp" || continue
  line="$v ${z##*/}"
  get "$z/type"; say zone "$line $v"
done
for h in "$R"/sys/class/hwmon/hwmon[0-9]*; do
  get "$h/name" || continue
  n=$v
  case $n in coretemp|k10temp|zenpower) ;; *) continue ;; esac
  f=temp1; get "$h/temp2_label" && [ "$v" = Tdie ] && f=temp2
  get "$h/${f}_input" && say zone "$v ${h##*/} $n"
done
for s in "$R"/sys/class/power_supply/*; do
  case ${s##*/} in battery|BAT*) v=Battery ;; *) v= ;; esac
  [ ! -r "$s/type" ] || get "$s/type"
  [ "$v" = Battery ] || continue
  get "$s/scope" && [ "$v" = Device ] && continue
  get "$s/present" && [ "$v" = 0 ] && continue
  line=${s##*/}
  get "$s/status"; [ "$v" = "Not charging" ] && v=Not_charging; line="$line ${v:--}"
  get "$s/capacity"; line="$line ${v:--}"
  for f in now full; do
    get "$s/charge_$f" || get "$s/energy_$f"
    line="$line ${v:--}"
  done
  say supply "$line"
done
"""

#: which CPUs share a core is told by ids: the kernel gives nothing of `thread_siblings_list` to a
#: shell that reads it byte by byte
KERNEL_FACTS = r"""
say system "$(uname -s)"
say kernel "$(uname -s) $(uname -r)"
say arch "$(uname -m)"
[ -d "$R/system/bin" ] && [ -x "$R/system/bin/sh" ] && say android yes
[ -r "$R/proc/cpuinfo" ] && while IFS= read -r v; do
  case $v in
  processor*) say processor "${v#*: }" ;;
  "Hardware"*) say hardware "${v#*: }" ;;
  esac
done <"$R/proc/cpuinfo"
[ -r "$R/proc/self/status" ] && while read -r k n; do
  case $k in Cpus_allowed_list:) say allowed "$n" ;; esac
done <"$R/proc/self/status"
[ -r "$R/proc/meminfo" ] && while read -r k n unit; do
  case $k in MemTotal:) say MemTotal "$n" ;; esac
done <"$R/proc/meminfo"
first online "$C/online" || first online "$C/present"
for c in "$C"/cpu[0-9]*; do
  get "$c/cpu_capacity" && say speed "${c##*/cpu} capacity $v"
  get "$c/cpufreq/cpuinfo_max_freq" && say speed "${c##*/cpu} max $v"
  get "$c/topology/core_id" || continue
  line=$v
  for f in cluster die physical_package; do get "$c/topology/${f}_id"; line="$line/${v:--}"; done
  say core "${c##*/cpu} $line"
done
first performance_cores "$R/sys/devices/cpu_core/cpus"
G=$R/sys/fs/cgroup
[ -r "$R/proc/self/cgroup" ] && while IFS=: read -r n k p; do
  case ,$k, in ,,) d=$G ;; *,cpu,*) d=$G/$k ;; *) continue ;; esac
  [ -d "$d" ] || d=$G/cpu
  while :; do
    get "$d$p/cpu.max" && say quota "$v"
    get "$d$p/cpu.cfs_quota_us" && n=$v && get "$d$p/cpu.cfs_period_us" && say quota "$n $v"
    [ -n "$p" ] || break
    p=${p%/*}
  done
done <"$R/proc/self/cgroup"
"""

HOST_FACTS = (
    PYTHONS
    + r"""
[ -r "$R/etc/os-release" ] && while IFS= read -r v; do
  case $v in PRETTY_NAME=*) v=${v#*=}; v=${v#\"}; say distribution "${v%\"}" ;; esac
done <"$R/etc/os-release"
first model "$R/sys/class/dmi/id/product_name"
tree=$R/proc/device-tree
[ -r "$tree/model" ] || tree=$R/sys/firmware/devicetree/base
[ -r "$tree/model" ] && say model "$(tr -d '\0' <"$tree/model")"
[ -r "$tree/compatible" ] && tr '\0' '\n' <"$tree/compatible" | each compatible
first nvidia "$R/proc/driver/nvidia/version"
for f in "$R"/lib/ld-musl-*; do [ -e "$f" ] && say libc musl; done
for f in "$R"/lib64/ld-linux* "$R"/lib/ld-linux* "$R"/lib/*/ld-linux*; do
  [ -e "$f" ] && say libc glibc
done
command -v python3 >/dev/null 2>&1 && python python3
IFS=:; set -f; set -- $PATH; set +f; unset IFS
pythons "$@"
if command -v docker >/dev/null 2>&1; then
  server=$(docker version --format '{{.Server.Version}}' 2>/dev/null </dev/null) || server=
  say docker "$server"
  [ -z "$server" ] || say runtimes "$(docker info --format \
    '{{range $name, $runtime := .Runtimes}}{{$name}} {{end}}' 2>/dev/null </dev/null)"
fi
"""
)

JETSON_FACTS = r"""
first tegra "$R/etc/nv_tegra_release"
command -v dpkg-query >/dev/null 2>&1 &&
  say jetpack "$(dpkg-query -W -f '${Version}' nvidia-jetpack 2>/dev/null)"
"""

#: `nvpmodel -q` wants root on some releases; tegrastats goes on until nobody reads it
JETSON_STATE = r"""
command -v nvpmodel >/dev/null 2>&1 && {
  seen=$(nvpmodel -q 2>/dev/null </dev/null) || seen=$(sudo -n nvpmodel -q 2>/dev/null </dev/null)
  out "$seen" | each nvpmodel
}
command -v tegrastats >/dev/null 2>&1 &&
  tegrastats --interval 100 2>/dev/null </dev/null | { IFS= read -r v; say tegrastats "$v"; }
for d in "$R"/sys/class/thermal/cooling_device[0-9]*; do
  get "$d/type" || continue
  case $v in *throttle-alert|hot-surface-alert) first alert "$d/cur_state" ;; esac
done
"""

ANDROID_FACTS = r"""
for p in ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model \
  ro.board.platform ro.hardware ro.build.version.release ro.build.version.sdk \
  ro.build.display.id ro.build.fingerprint ro.product.cpu.abi; do
  say "$p" "$(getprop "$p" 2>/dev/null </dev/null)"
done
"""

ANDROID_STATE = r"""
dumpsys battery 2>/dev/null </dev/null | each battery
dumpsys thermalservice 2>/dev/null </dev/null | each thermal
"""

#: `python3` in /usr/bin opens a window where the developer tools are missing
MACOS_FACTS = (
    PYTHONS
    + r"""
say system "$(uname -s)"
say kernel "$(uname -s) $(uname -r)"
say arch "$(uname -m)"
command -v sysctl >/dev/null 2>&1 || exit 0
say model "$(sysctl -n hw.model 2>/dev/null)"
say cpu_model "$(sysctl -n machdep.cpu.brand_string 2>/dev/null)"
say cores "$(sysctl -n hw.ncpu 2>/dev/null)"
say memory_bytes "$(sysctl -n hw.memsize 2>/dev/null)"
command -v sw_vers >/dev/null 2>&1 && {
  say version "$(sw_vers -productVersion)"; say build "$(sw_vers -buildVersion)"
}
pythons """
    + MACOS_PYTHONS
    + r"""
xcode-select -p >/dev/null 2>&1 && python /usr/bin/python3
"""
)

MACOS_STATE = r"""
say os "$(uname -srm)"
say cpu_model "$(sysctl -n machdep.cpu.brand_string 2>/dev/null)"
say cores "$(sysctl -n hw.ncpu 2>/dev/null)"
say memory_bytes "$(sysctl -n hw.memsize 2>/dev/null)"
v=$(sysctl -n vm.loadavg 2>/dev/null); v=${v#"{ "}; say load "${v%" }"}"
vm_stat 2>/dev/null | each vm_stat
pmset -g batt 2>/dev/null | each batt
pmset -g therm 2>/dev/null | each therm
"""
