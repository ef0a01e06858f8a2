# Real devices through stock drivers: disks, network cards, interrupts, keyboard, clock.
yes oxen | head -c 8388608 >/tmp/data
# What a disk gives back after the caches are gone must be what was written.
disk() {
    dd if=/tmp/data of="$1" bs=1M oflag=direct 2>/dev/null || return 1
    sync
    echo 3 >/proc/sys/vm/drop_caches
    dd if="$1" of=/tmp/back bs=1M count=8 iflag=direct 2>/dev/null || return 1
    [ "$(md5sum </tmp/data)" = "$(md5sum </tmp/back)" ]
}
wait_for() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -e "$1" ] && return
        sleep 1
    done
    return 1
}
for device in sda vda nvme0n1; do
    check "$device appears" wait_for "/dev/$device"
    check "$device: write, read back, compare" disk "/dev/$device"
done

# Each card has a network of its own, 10.0.N.0/24, with a host at .2 and a server at .100.
number=0
for card in $(cd /sys/class/net && ls -d eth* en* 2>/dev/null); do
    driver=$(basename "$(readlink "/sys/class/net/$card/device/driver")")
    # The harness names the network of the driver.
    net=$(argument "oxen.net.$driver")
    ip link set "$card" up
    ip addr add "10.0.$net.15/24" dev "$card"
    sleep 3
    check "$driver: ping" ping -c 3 -W 5 "10.0.$net.2"
    check "$driver: download" sh -c "nc -w 30 10.0.$net.100 80 </dev/null >/tmp/download; cmp /tmp/download /tmp/data"
    number=$((number + 1))
done
check "two network cards" [ "$number" = 2 ]

# The queues of the virtio disk have an MSI-X vector each, and each CPU uses its own.
for cpu in $(seq 0 $(($(nproc) - 1))); do
    taskset -c "$cpu" dd if=/dev/vda of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null
done
grep -E 'virtio|nvme|xhci|eth|ahci' /proc/interrupts
# Columns 2..N+1 are counts per CPU: how many CPUs took an interrupt of a disk queue?
cpus_used=$(awk -v n="$(nproc)" '/virtio[0-9]+-req/ { for (i = 2; i <= n + 1; i++) if ($i > 0) used[i] = 1 }
    END { c = 0; for (i in used) c++; print c }' /proc/interrupts)
check "MSI-X interrupts on every CPU" [ "$cpus_used" = "$(nproc)" ]

check "USB keyboard" grep -q 'QEMU USB Keyboard' /proc/bus/input/devices
keyboard=$(awk '/QEMU USB Keyboard/ { found = 1 } found && /Handlers/ { for (i = 1; i <= NF; i++) if ($i ~ /event/) { sub(/.*=/, "", $i); print $i; exit } }' /proc/bus/input/devices)
timeout 30 dd if="/dev/input/$keyboard" of=/tmp/key bs=24 count=1 2>/dev/null &
reader=$!
sleep 2
# The harness presses a key when it reads this.
say "press a key"
check "key press arrives" wait "$reader"
check "RTC" sh -c 'hwclock -r && [ "$(cut -c1-2 /sys/class/rtc/rtc0/date)" = 20 ]'
