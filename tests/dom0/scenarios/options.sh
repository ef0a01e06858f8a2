# What the options of the row `oxen-options` must have changed.
xl=$stock/xl
say "cpus $(nproc)"
in_log() { "$xl" dmesg | grep -q "$1"; }
info() { "$xl" info "$1"; }
check "mem=: less memory than the machine has" [ "$(info total_memory)" -lt 897 ]
check "two nodes" [ "$(info nr_nodes)" = 2 ]
check "distances of the nodes" sh -c "$xl info -n | grep -q '^  *1: .* 21,10$'"
"$xl" info -n | sed -n '/numa_info/,/^xen_major/p'
check "the log is stamped with the time since boot" in_log '^(XEN) \[ *[0-9]*\.[0-9]*\] '
check "conring_size=: a power of two above" in_log 'console ring: 64 KiB'
check "cpuidle=0" in_log 'idle CPUs halt'
check "bootscrub=1: cleared before dom0 starts" in_log 'MiB of free memory cleared'
check "clocksource=acpi" in_log 'reference: PmTimer'
echo "a line for the ring" >/dev/console
sleep 1
check "console_to_ring" in_log 'a line for the ring'
# 40 KB, more than the ring has without the option.
for n in $(seq 1 500); do
    echo "line $n of many that together are more than the ring had, were it not for the option ........." >/dev/console
done
check "conring_size=: the log goes back further" sh -c "[ \$($xl dmesg | wc -c) -gt 40000 ]"
# tsc=unstable: the clock is another one, and goes on.
before=$(date +%s)
sleep 3
after=$(date +%s)
check "time passes at its rate" [ $((after - before)) -ge 3 ]
check "and not faster" [ $((after - before)) -le 6 ]
