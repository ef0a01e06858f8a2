# What scenarios with guests share. `start_tools` first; then make, drive and end guests.
#
# Words of dom0's kernel command line choose whose tools run (`stock`, the default, or `ours`):
#   oxen.xl=  oxen.xenstored=  oxen.xenconsoled=   and oxen.tools= for all three at once
#   oxen.guest.kernel=cloud|stock                  the guests' kernel
#   oxen.guest.memory=N                            their memory in MiB
files=/oxen/guest
logs=/var/log/xen/console
whose() {
    choice=$(argument "oxen.$1")
    [ -n "$choice" ] || choice=$(argument oxen.tools)
    # Where there are no others.
    [ -x "$stock/$1" ] || choice=ours
    echo "${choice:-stock}"
}
# The program of that name, stock or ours.
tool() {
    case $(whose "$1") in
    ours) echo "/oxen/bin/$1" ;;
    *) echo "$stock/$1" ;;
    esac
}
kernel=$files/$(argument oxen.guest.kernel)
[ -f "$kernel" ] || kernel=$files/cloud
memory=$(argument oxen.guest.memory)

# Waits up to $1 seconds until a command succeeds. Looks again soon at first, then more seldom: each look is a process or
# two, and what is waited for needs the processor more.
within() {
    local uptime deadline pause rest
    read -r uptime rest </proc/uptime
    deadline=$((${uptime%.*} + $1)) pause=50000
    shift
    until "$@" >/dev/null 2>&1; do
        read -r uptime rest </proc/uptime
        [ "${uptime%.*}" -lt "$deadline" ] || { echo "not within the time: $*"; return 1; }
        usleep $pause
        [ $pause -ge 400000 ] || pause=$((pause * 2))
    done
}

# A check that takes minutes may never end: what runs meanwhile is shown once, for whoever has to find out why.
long_checks() {
    seen= count=0
    while sleep 10; do
        now=$(cat /tmp/check.name 2>/dev/null)
        if [ "$now" != "$seen" ]; then
            seen=$now count=0
            continue
        fi
        count=$((count + 1))
        [ $count = 20 ] || continue
        say "takes long: $now"
        tail -n 20 /tmp/check.out
        for process in /proc/[0-9]*; do
            line=$(cat $process/cmdline | tr '\0' ' ')
            [ -n "$line" ] && echo "${process#/proc/} $(sed -n 's/^State:\t//p' $process/status) $(cat $process/wchan) $line"
        done 2>/dev/null
        timeout 20 xl list
        tail -n 3 /tmp/console.log "$logs"/*.log
    done 2>&1
}

start_tools() {
    # Once, when several scenarios share a boot.
    [ -e /run/tools/xl ] && return
    (long_checks &)
    mkdir -p $logs /var/lib/xen/dump /run/xen /run/xenstored /var/lock /tmp/guests /run/tools
    ln -sf "$(tool xl)" /run/tools/xl
    export PATH=/run/tools:$PATH
    say "tools: xl $(whose xl), xenstored $(whose xenstored), xenconsoled $(whose xenconsoled)"
    check "xenstored starts" "$(tool xenstored)" --pid-file /run/xenstored.pid
    # Our xenstored says itself who dom0 is.
    [ "$(whose xenstored)" = ours ] || check "xen-init-dom0" "$stock/xen-init-dom0"
    # Asked once: the ring forgets what was said at boot.
    /oxen/bin/xl dmesg | grep -q 'Oxen .* started by' && : >/run/tools/on-oxen
    # The scripts refuse to work where their log cannot be written.
    : >/var/log/xen/xen-hotplug.log
    check "xenconsoled starts" "$(tool xenconsoled)" --log=guest --log-dir=$logs --pid-file=/run/xenconsoled.pid
}

# config NAME [LINE...]: writes a configuration with the given lines added; the last of a key wins.
config() {
    guest=$1
    shift
    {
        echo "name = '$guest'"
        echo "kernel = '$kernel'"
        echo "ramdisk = '$files/initrd'"
        # Panics must be seen and end the guest.
        echo "cmdline = 'console=hvc0 loglevel=4 panic=-1 $(cat /tmp/guests/extra 2>/dev/null)'"
        echo "memory = ${memory:-128}"
        echo "vcpus = 1"
        echo "on_crash = 'preserve'"
        for line in "$@"; do
            echo "$line"
        done
    } >"/tmp/guests/$guest.cfg"
    echo "/tmp/guests/$guest.cfg"
}

# hostile NAME SEED ROUNDS [LINE...]: the same for a guest that attacks (tests/fuzz-guest).
hostile() {
    guest=$1
    {
        echo "name = '$guest'"
        echo "kernel = '$files/fuzz'"
        echo "cmdline = 'seed=$2 rounds=$3'"
        echo "memory = 32"
        echo "vcpus = 2"
        shift 3
        for line in "$@"; do
            echo "$line"
        done
    } >"/tmp/guests/$guest.cfg"
    echo "/tmp/guests/$guest.cfg"
}

domid() { xl domid "$1" 2>/dev/null; }
log_of() { echo "$logs/guest-$1.log"; }
shows() { grep -q -e "$2" "$(log_of "$1")"; }
# The guest's console says that it waits for commands; the limit is generous because of emulation.
ready() { within "${2:-600}" shows "$1" '^%% ready'; }
gone() { within "${2:-120}" absent "$1"; }
absent() { ! xl list "$1"; }

# create NAME [LINE...]: makes the guest and waits until it takes commands.
create() {
    guest=$1
    rm -f "$(log_of "$guest")" "/tmp/guests/$guest.number"
    xl create "$(config "$@")" && ready "$guest"
}

terminal_of() { xenstore-read "/local/domain/$(domid "$1")/console/tty"; }
# tell NAME COMMAND: starts a command in the guest without waiting for its end. Where nobody can be asked for the guest's
# terminal (without a daemon, Debian's xenstore-read waits in the kernel for ever), $terminal_known says it.
tell() {
    number=$(($(cat "/tmp/guests/$1.number" 2>/dev/null || echo 0) + 1))
    echo $number >"/tmp/guests/$1.number"
    # Not the log from before: where the command's output begins.
    wc -c <"$(log_of "$1")" >"/tmp/guests/$1.from"
    terminal=${terminal_known:-$(terminal_of "$1")}
    [ -c "$terminal" ] || return 1
    printf '%s %s\n' "$number" "$2" >"$terminal"
}
# answer NAME [SECONDS]: waits for the end of that command, prints its output, returns its status.
answer() {
    local log number from
    log=$logs/guest-$1.log
    read -r number <"/tmp/guests/$1.number"
    read -r from <"/tmp/guests/$1.from"
    within "${2:-120}" grep -q "^%% $number " "$log" || { tail -c 2000 "$log"; return 99; }
    tail -c "+$((from + 1))" "$log" | tr -d '\r' | sed "/^%% $number /,\$d"
    return "$(sed -n "s/^%% $number \([0-9]*\).*/\1/p" "$log" | tail -n 1)"
}
# in_guest NAME COMMAND [SECONDS]: both.
in_guest() { tell "$1" "$2" && answer "$1" "${3:-120}"; }
# The command prints exactly this.
prints() {
    expected=$1
    shift
    got=$("$@" | sed '/^$/d')
    [ "$got" = "$expected" ] || { echo "expected: $expected, got: $got"; return 1; }
}

# The host's free pages, once they stand still: Xen takes back a dead domain's memory piece by piece.
free_pages() {
    last=
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        now=$(hostpages)
        [ "$now" = "$last" ] && break
        last=$now
        usleep 300000
    done
    echo "$now"
}
# Exactly as many pages are free as were.
# Xen's own heap keeps a page or two of the first domain's for the next; Oxen has to give back every one.
back() {
    now=$(free_pages)
    slack=8
    is_oxen && slack=0
    [ $(($1 - now)) -le $slack ] && [ "$now" -le "$1" ] || { echo "free pages: $now, were $1"; return 1; }
}
# Everything that a guest has in dom0 while it lives: domains, nodes of xenstore, loop devices, interfaces, ports of
# bridges, files, processes. The first guest makes some directories and locks that stay; libxl keeps the numbers of domains that
# were.
things() {
    xl list | awk 'NR > 1 { print "domain", $1 }' | sort
    xenstore-ls -f | sed 's/ = .*//' | sort
    losetup -a
    find /sys/class/net/ /sys/class/net/*/brif/ 2>/dev/null | sort
    find /var/lib/xen /run -type f 2>/dev/null | grep -v -e '/dump/' -e '/domid-history$' -e '\.lock$' | sort
    cat /proc/[0-9]*/comm 2>/dev/null | grep -e '^xl$' -e qemu -e xvd -e vif | sort
}
remember() { things >/tmp/things; }
# As it was when remembered; what watches over a guest may need a moment to notice its end.
nothing_left() {
    within "${1:-60}" as_remembered || { diff /tmp/things /tmp/things.now; return 1; }
}
as_remembered() { things >/tmp/things.now && cmp -s /tmp/things /tmp/things.now; }
# Everything that must be exactly as it was when guests are gone: dom0's ports, back ends and loop devices, the store,
# processes, and what Oxen holds (debug key k), each domain's pages and free ones among it.
counts() {
    echo "ports of dom0: $(lsevtchn 0 | wc -l)"
    echo "back ends: $(ls /sys/bus/xen-backend/devices | wc -l)"
    echo "loop devices: $(losetup -a | wc -l)"
    echo "nodes in the store: $(xenstore-ls -f | wc -l)"
    echo "processes of xl: $(pgrep -x xl | wc -l)"
    echo "domains: $(xl list | tail -n +2 | wc -l)"
    is_oxen && xl debug-keys k && xl dmesg | sed -n 's/.*held: //p' | tail -n 1 | tr ';' '\n'
    return 0
}
# They are what they were in the file $1, once they stand still: back ends and pages go after their guest.
unchanged() {
    within 30 same_counts "$1" || { diff "$1" /tmp/counts.now; return 1; }
    # Xen's own heap keeps a page or two.
    is_oxen || back "$(cat "$1.pages")"
}
same_counts() { counts >/tmp/counts.now && cmp -s "$1" /tmp/counts.now; }
# Writes them to the file $1.
count_all() {
    free_pages >"$1.pages"
    counts >"$1"
    tr '\n' ';' <"$1"
}
# What dom0 and the hypervisor make once and keep for later guests is made before anything is counted: $1 small guests at
# once are the most of it (dom0's ports, handles for grants), and an ordinary one.
first_ones() {
    for i in $(seq "$1"); do
        xl create -pq "$(hostile "first$i" "$i" 1)" || return 1
    done
    create first || return 1
    for i in "" $(seq "$1"); do
        xl destroy "first$i"
        gone "first$i" || return 1
    done
}

# Oxen's debug key f recomputes every count and binding; Xen has nothing like it.
is_oxen() { [ -e /run/tools/on-oxen ]; }
checker() {
    is_oxen || return 0
    xl debug-keys f && xl dmesg | grep 'invariants broken' | tail -n 1 | grep -q ' 0 invariants broken'
}
# What a failed scenario leaves for the reader.
evidence() {
    for file in "$logs"/*.log /var/log/xen/*.log; do
        [ -s "$file" ] || continue
        echo "== $file"
        tail -n 30 "$file"
    done
    echo "== xl dmesg"
    /oxen/bin/xl dmesg | tail -n 40
}
