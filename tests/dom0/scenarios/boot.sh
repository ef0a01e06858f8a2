# What a boot must show: the CPUs, and on a hypervisor what the kernel found out about it.
say "cpus $(nproc)"
say "clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
if on_xen; then
    hypervisor=/sys/hypervisor
    say "hypervisor $(cat $hypervisor/type) $(cat $hypervisor/version/major).$(cat $hypervisor/version/minor)$(cat $hypervisor/version/extra)"
    check "guest type is PV" [ "$(cat $hypervisor/guest_type)" = PV ]
    check "capabilities are control_d" grep -qx control_d /proc/xen/capabilities
    check "privcmd, evtchn and gntdev devices" ls /dev/xen/privcmd /dev/xen/evtchn /dev/xen/gntdev
fi
# 32-bit programs, where each processor has its own way into the kernel.
say "32-bit system calls by $(vsyscall32)"
check "32-bit system calls, also step by step" vsyscall32

# What the kernel shows of each CPU when asked, idle ones too: the others are told by NMI, which on Xen is virtual.
backtraces() {
    dmesg -c >/tmp/dmesg.earlier
    echo l >/proc/sysrq-trigger
    dmesg -c >/tmp/backtraces
    [ "$(grep -c 'NMI backtrace for cpu' /tmp/backtraces)" -eq "$(nproc)" ] || { cat /tmp/backtraces && false; }
}
check "an NMI reaches every CPU" backtraces
