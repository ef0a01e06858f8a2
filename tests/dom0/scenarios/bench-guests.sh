# What guests and tools cost, in instructions. oxen.bench= chooses among guests, pair, io, busy and tools, joined by +.
# oxen.many= (100) and oxen.idle= (8) say how many guests there are where many are wanted: fewer are quicker.
. /oxen/lib/guests.sh
. /oxen/lib/bench.sh
start_tools
many=$(argument oxen.many)
idle=$(argument oxen.idle)
: "${many:=100}" "${idle:=8}"
measures() { argument oxen.bench | tr + '\n' | grep -qx "$1"; }

# Made once before anything is measured.
check "a first one" xl create -pq "$(bare paused '')"
check "it goes" xl destroy paused
check "the newest domain's id" newest
measures guests && microbench disturbance | sed 's/disturbance/disturbance-0/'

# --- a small kernel, never run -----------------------------------------------------------------------------------------
if measures tools; then
    create=$((1 << 62)) list=$create destroy=$create
    for n in 1 2 3; do
        timed xl create -pqe "$(bare paused '')"
        [ "$create" -lt "$took" ] || create=$took
        timed xl list
        [ "$list" -lt "$took" ] || list=$took
        timed xl destroy paused
        [ "$destroy" -lt "$took" ] || destroy=$took
    done
    figure create-paused "$create"
    figure list-1 "$list"
    figure destroy-paused "$destroy"
fi

# --- many ----------------------------------------------------------------------------------------------------------
if measures guests || measures tools; then
    held=$(hostpages --held)
    n=0
    while [ $n -lt "$many" ]; do
        # Ours, because it is the quicker one.
        /oxen/bin/xl create -pqe "$(bare "tiny$n" '' 'memory = 4')" || say "FAIL tiny$n"
        n=$((n + 1))
    done
    figure domain-memory $(((held - $(hostpages --held)) * 4096 / many))
    if measures tools; then
        timed xl list
        timed xl list
        check "all are listed" [ "$(grep -c tiny /tmp/timed.out)" = "$many" ]
        figure "list-$many" "$took"
        figure rss-xenstored "$(resident "$(cat /run/xenstored.pid)")"
        figure rss-xenconsoled "$(resident "$(cat /run/xenconsoled.pid)")"
    fi
    while [ $n -gt 0 ]; do
        n=$((n - 1))
        /oxen/bin/xl destroy "tiny$n" || say "FAIL destroy tiny$n"
    done
    check "the newest domain's id" newest
    say "$many made and gone"
fi

# --- two guests and nothing else ----------------------------------------------------------------------------------------
if measures pair; then
    pair 0 0
    for name in event-round-trip grant-map-page grant-unmap-page grant-map-unmap-single grant-copy-page; do
        figure $name "$(value client $name)"
    done
fi

# --- a guest with a kernel ----------------------------------------------------------------------------------------------
results() { grep -a '^@@' | tr -d '\r' | sed "s/^@@ bench /&$1/"; }
devices() {
    truncate -s 16M /tmp/disk.img
    check "a disk" xl block-attach main 'file:/tmp/disk.img,xvda,w'
    ip link add name xenbr0 type bridge
    ip addr add 10.9.0.1/24 dev xenbr0
    ip link set xenbr0 up
    check "an interface" xl network-attach main mac=00:16:3e:00:00:01 bridge=xenbr0
    appears='for i in 1 2 3 4 5 6 7 8 9 10; do [ -e $dev ] && break; sleep 1; done'
    in_guest main "dev=/dev/xvda; $appears; microbench disk /dev/xvda" 600 | results
    microbench serve &
    check "its address" in_guest main "dev=/sys/class/net/eth0; $appears; ip link set eth0 up && ip addr add 10.9.0.2/24 dev eth0 && ping -c 2 -W 10 10.9.0.1"
    in_guest main 'microbench network 10.9.0.1' 600 | results
    check "no disk" xl block-detach main xvda
    check "no interface" xl network-detach main 0
}
if measures guests || measures tools; then
    config=$(config main "tsc_mode = 'native'")
    # The harness sets a breakpoint at the kernel's entry.
    say "press enter: a guest's kernel comes"
    read -r go
    timed xl create -q "$config"
    say "began create-to-kernel $began"
    check "it is in its userspace" ready main
    figure create-to-userspace $(($(sed -n 's/^@@ ticks \([0-9]*\).*/\1/p' "$(log_of main)") - began))
    waiter=$(pidof xl | tr ' ' '\n' | tail -n 1)
    [ -z "$waiter" ] || figure rss-xl "$(resident "$waiter")"
elif measures io; then
    check "a guest with a kernel" create main "tsc_mode = 'native'"
fi
if measures tools; then
    in_guest main 'microbench console' 600 | results
fi
if measures guests; then
    in_guest main microbench 600 | results domu-
fi
if measures io; then
    devices
fi
if measures guests; then
    # Whatever it still had to do.
    sleep 10
    microbench disturbance | sed 's/disturbance/disturbance-1/'
    n=1
    while [ $n -lt "$idle" ]; do
        n=$((n + 1))
        check "guest $n" create "idle$n"
    done
    sleep 10
    microbench disturbance | sed "s/disturbance/disturbance-$idle/"
    while [ $n -gt 1 ]; do
        xl destroy "idle$n"
        n=$((n - 1))
    done
fi
if measures guests || measures tools; then
    timed xl destroy main
    figure destroy "$took"
    check "it is gone" gone main
fi

# --- guests that work without a pause ----------------------------------------------------------------------------------
busy() {
    second=1000000000
    now=$(microbench now | sed 's/@@ ticks //')
    # Time enough to make them all.
    from=$((now + $1 * second / 2 + second))
    n=0
    while [ $n -lt "$1" ]; do
        n=$((n + 1))
        rm -f "$(log_of "busy$n")"
        check "busy guest $n" xl create -qe "$(bare "busy$n" "role=3 from=$from length=$second" "memory = 16" "on_poweroff = 'preserve'")"
    done
    now=$(microbench now | sed 's/@@ ticks //')
    check "all are there in time" [ "$now" -lt "$from" ]
    # dom0 does nothing meanwhile.
    sleep $(((from + 5 * second - now) / second + 1))
    : >/tmp/work
    while [ $n -gt 0 ]; do
        check "busy guest $n has worked" within 600 said "busy$n" work-5
        sed -n 's/^%% work-\([1-5]\) \([0-9]*\).*/\1 \2/p' "$(log_of "busy$n")" >>/tmp/work
        xl destroy "busy$n"
        n=$((n - 1))
    done
    # The middle one of five times: what dom0 does every ten seconds falls into one of them.
    awk '{ work[$1] += $2 } END { for (time in work) print work[time] }' /tmp/work | sort -n >/tmp/work.sums
    figure "busy-$1" $((second - $(sed -n 3p /tmp/work.sums)))
}
if measures busy; then
    busy 1
    busy 8
fi
check "all invariants hold" checker
[ $failures = 0 ] || evidence
